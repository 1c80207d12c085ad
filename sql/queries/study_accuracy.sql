-- How often are classifiers right, and at what cost, by configuration of a study?
-- Runs named CONFIGURATION.seedN, on valid samples at the last step; mean, lowest and highest of the seeds, and
-- multiply-adds of a sample. base: of what a single gate stands on, by itself; two: with the two likeliest experts.
-- What was not trained (train.steps = 0) is left out. :runs, a JSON array of run ids: these alone.
WITH study_run AS (
    SELECT run_id, seed, substr(name, 1, instr(name, '.seed') - 1) AS configuration FROM run
    WHERE instr(name, '.seed') > 1 AND status = 'finished'
      AND (:runs IS NULL OR run_id IN (SELECT value FROM json_each(:runs)))
      AND coalesce(json_extract(config, '$."train.steps"'), 1) > 0
),
answer AS (
    SELECT r.configuration, r.seed, m.step,
           max(CASE m.name WHEN 'accuracy' THEN m.value END) AS accuracy,
           max(CASE m.name WHEN 'accuracy_base' THEN m.value END) AS base,
           max(CASE m.name WHEN 'accuracy_two' THEN m.value END) AS two,
           max(CASE m.name WHEN 'multiply_adds' THEN m.value END) AS multiply_adds
    FROM study_run AS r JOIN metric AS m USING (run_id)
    WHERE m.split = 'valid'
      AND m.step = (SELECT max(x.step) FROM metric AS x WHERE x.run_id = r.run_id AND x.split = 'valid')
      AND m.name IN ('accuracy', 'accuracy_base', 'accuracy_two', 'multiply_adds')
    GROUP BY r.run_id
)
SELECT configuration, count(*) AS seeds, avg(accuracy) AS accuracy, min(accuracy) AS lowest, max(accuracy) AS highest,
       avg(base) AS base, avg(two) AS two, avg(multiply_adds) AS multiply_adds
FROM answer
WHERE accuracy IS NOT NULL
GROUP BY configuration
ORDER BY multiply_adds, configuration;
