-- How long does a single gate take for an image, by configuration of a study?
-- Runs named CONFIGURATION.seedN with gate.timings: milliseconds of the base alone, and how many times as long base +
-- likeliest expert take, without exits and with those of the threshold, on the same images in the same process; batches
-- of 1 and of 64. Mean, lowest and highest of the seeds.
-- :runs, a JSON array of run ids: these alone.
WITH study_run AS (
    SELECT run_id, seed, substr(name, 1, instr(name, '.seed') - 1) AS configuration FROM run
    WHERE instr(name, '.seed') > 1 AND status = 'finished'
      AND (:runs IS NULL OR run_id IN (SELECT value FROM json_each(:runs)))
),
answer AS (
    SELECT r.configuration, r.run_id, b.value AS batch,
           max(CASE m.name WHEN 'milliseconds_' || b.value || '_base' THEN m.value END) AS base,
           max(CASE m.name WHEN 'milliseconds_' || b.value || '_expert' THEN m.value END) AS expert,
           max(CASE m.name WHEN 'milliseconds_' || b.value || '_exits' THEN m.value END) AS exits,
           max(CASE m.name WHEN 'milliseconds_threshold' THEN m.value END) AS threshold
    FROM study_run AS r
    JOIN json_each('[1, 64]') AS b
    JOIN metric AS m ON m.run_id = r.run_id AND m.name LIKE 'milliseconds\_%' ESCAPE '\'
    GROUP BY r.run_id, b.value
)
SELECT configuration, batch, count(*) AS seeds, avg(base) AS base_ms, avg(expert / base) AS expert,
       min(expert / base) AS expert_lowest, max(expert / base) AS expert_highest, avg(exits / base) AS exits,
       min(exits / base) AS exits_lowest, max(exits / base) AS exits_highest, avg(threshold) AS threshold
FROM answer
GROUP BY configuration, batch
ORDER BY configuration, batch;
