-- By what are images sent to experts, and does it pay, by configuration of a study?
-- Runs of a single gate, named CONFIGURATION.seedN, on valid images at the last step: by sample, the gate's own choice;
-- by class, the expert to which most train images of the class that the base names went; by true class, that of the
-- label. Accuracy of base + expert and of the expert alone; mean, lowest and highest of the seeds.
-- Experts that were not trained (train.steps = 0) are left out.
-- :runs, a JSON array of run ids: these alone.
WITH study_run AS (
    SELECT run_id, seed, substr(name, 1, instr(name, '.seed') - 1) AS configuration FROM run
    WHERE instr(name, '.seed') > 1 AND status = 'finished'
      AND (:runs IS NULL OR run_id IN (SELECT value FROM json_each(:runs)))
      AND coalesce(json_extract(config, '$."train.steps"'), 1) > 0
),
answer AS (
    SELECT r.configuration, r.run_id, g.key AS place, g.value AS granularity,
           max(CASE m.name WHEN 'accuracy_by_' || g.value THEN m.value END) AS accuracy,
           max(CASE m.name WHEN 'accuracy_by_' || g.value || '_alone' THEN m.value END) AS alone
    FROM study_run AS r
    JOIN json_each('["sample", "class", "true_class"]') AS g
    JOIN metric AS m ON m.run_id = r.run_id AND m.split = 'valid'
                     AND m.name IN ('accuracy_by_' || g.value, 'accuracy_by_' || g.value || '_alone')
    GROUP BY r.run_id, g.key
)
SELECT configuration, granularity, count(*) AS seeds, avg(accuracy) AS accuracy, min(accuracy) AS lowest,
       max(accuracy) AS highest, avg(alone) AS alone, min(alone) AS alone_lowest, max(alone) AS alone_highest
FROM answer
GROUP BY configuration, place
ORDER BY configuration, place;
