-- What is a model of several sources worth, and what does a sample cost, by configuration of a study?
-- Runs named CONFIGURATION.seedN, on valid samples at the last step: score (mean over sources of the share of right
-- answers, or of what is explained of a real target), its lowest and highest seed, multiply-adds of a sample, and
-- milliseconds of a forward pass of 1 and of 64 samples (median and 99th percentile), means over seeds.
-- :runs, a JSON array of run ids: these alone.
WITH study_run AS (
    SELECT run_id, seed, substr(name, 1, instr(name, '.seed') - 1) AS configuration FROM run
    WHERE instr(name, '.seed') > 1 AND status = 'finished'
      AND (:runs IS NULL OR run_id IN (SELECT value FROM json_each(:runs)))
),
answer AS (
    SELECT r.configuration, r.seed,
           max(CASE m.name WHEN 'score' THEN m.value END) AS score,
           max(CASE m.name WHEN 'multiply_adds' THEN m.value END) AS multiply_adds,
           max(CASE m.name WHEN 'milliseconds_1_p50' THEN m.value END) AS one,
           max(CASE m.name WHEN 'milliseconds_1_p99' THEN m.value END) AS one_p99,
           max(CASE m.name WHEN 'milliseconds_64_p50' THEN m.value END) AS batch,
           max(CASE m.name WHEN 'milliseconds_64_p99' THEN m.value END) AS batch_p99
    FROM study_run AS r JOIN metric AS m USING (run_id)
    WHERE m.split = 'valid'
      AND m.step = (SELECT max(x.step) FROM metric AS x WHERE x.run_id = r.run_id AND x.split = 'valid')
    GROUP BY r.run_id
)
SELECT configuration, count(*) AS seeds, avg(score) AS score, min(score) AS lowest, max(score) AS highest,
       avg(multiply_adds) AS multiply_adds, avg(one) AS ms_1_p50, avg(one_p99) AS ms_1_p99, avg(batch) AS ms_64_p50,
       avg(batch_p99) AS ms_64_p99
FROM answer
WHERE score IS NOT NULL
GROUP BY configuration
ORDER BY score DESC, configuration;
