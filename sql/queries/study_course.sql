-- How do losses fall in the course of training, by configuration of a study?
-- Runs named CONFIGURATION.seedN: loss on valid documents at each validation, mean, lowest and highest of the seeds.
-- :runs, a JSON array of run ids: these alone.
WITH study_run AS (
    SELECT run_id, seed, substr(name, 1, instr(name, '.seed') - 1) AS configuration FROM run
    WHERE instr(name, '.seed') > 1 AND status = 'finished'
      AND (:runs IS NULL OR run_id IN (SELECT value FROM json_each(:runs)))
)
SELECT r.configuration, m.step, count(*) AS seeds, avg(m.value) AS loss, min(m.value) AS lowest, max(m.value) AS highest
FROM study_run AS r JOIN metric AS m USING (run_id)
WHERE m.split = 'valid' AND m.name = 'loss'
GROUP BY r.configuration, m.step
ORDER BY r.configuration, m.step;
