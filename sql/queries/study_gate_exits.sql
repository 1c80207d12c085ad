-- What is left of a single gate's accuracy, and what does it cost, at exits that were chosen without test images?
-- Runs named CONFIGURATION.seedN. For each seed, rule and target a threshold is chosen on the probe, train images that
-- nothing was trained on, and its accuracy and multiply-adds read on valid images. Targets: the cheapest that is at most
-- :within (0.001) less accurate than the likeliest expert for every image (target 'within'); the most accurate that
-- runs at most a half, a quarter of an expert an image ('0.5 experts', '0.25 experts'). Means of the seeds; difference:
-- from the likeliest expert for every image, on valid images; seeds without such a threshold are left out.
-- Experts that were not trained (train.steps = 0) are left out.
-- :runs, a JSON array of run ids: these alone.
WITH study_run AS (
    SELECT run_id, seed, substr(name, 1, instr(name, '.seed') - 1) AS configuration FROM run
    WHERE instr(name, '.seed') > 1 AND status = 'finished'
      AND (:runs IS NULL OR run_id IN (SELECT value FROM json_each(:runs)))
      AND coalesce(json_extract(config, '$."train.steps"'), 1) > 0
),
figure AS (
    SELECT r.configuration, r.run_id, m.split, x.value AS rule,
           CAST(substr(m.name, length(x.value) + 7) AS INTEGER) AS hundredths, -- exit_RULE_NN_FIGURE
           substr(substr(m.name, length(x.value) + 7), instr(substr(m.name, length(x.value) + 7), '_') + 1) AS name,
           m.value
    FROM study_run AS r
    JOIN metric AS m USING (run_id)
    JOIN json_each('["alpha", "confidence"]') AS x ON m.name LIKE 'exit\_' || x.value || '\_%' ESCAPE '\'
),
whole AS ( -- without exits
    SELECT r.run_id,
           max(CASE WHEN m.split = 'valid' AND m.name = 'accuracy' THEN m.value END) AS accuracy,
           max(CASE WHEN m.split = 'probe' AND m.name = 'accuracy' THEN m.value END) AS probe_accuracy,
           max(CASE WHEN m.name = 'multiply_adds' THEN m.value END) AS multiply_adds,
           max(CASE WHEN m.name = 'multiply_adds_base' THEN m.value END) AS base
    FROM study_run AS r JOIN metric AS m USING (run_id)
    WHERE m.step = (SELECT max(s.step) FROM metric AS s WHERE s.run_id = r.run_id AND s.split = 'valid')
    GROUP BY r.run_id
),
point AS (
    SELECT f.configuration, f.run_id, f.rule, f.hundredths,
           max(CASE WHEN f.split = 'valid' AND f.name = 'accuracy' THEN f.value END) AS accuracy,
           max(CASE WHEN f.split = 'valid' AND f.name = 'multiply_adds' THEN f.value END) AS multiply_adds,
           max(CASE WHEN f.split = 'probe' AND f.name = 'accuracy' THEN f.value END) AS probe_accuracy,
           max(CASE WHEN f.split = 'probe' AND f.name = 'multiply_adds' THEN f.value END) AS probe_multiply_adds
    FROM figure AS f
    GROUP BY f.run_id, f.rule, f.hundredths
),
target AS (
    SELECT 1 AS place, 'within ' || coalesce(:within, 0.001) AS target, coalesce(:within, 0.001) AS within,
           NULL AS share
    UNION ALL SELECT 2, '0.5 experts', NULL, 0.5
    UNION ALL SELECT 3, '0.25 experts', NULL, 0.25
),
ranked AS (
    SELECT p.*, t.place, t.target, w.accuracy AS whole,
           row_number() OVER (PARTITION BY p.run_id, p.rule, t.place
                              ORDER BY CASE WHEN t.within IS NULL THEN -p.probe_accuracy END, p.probe_multiply_adds,
                                       -p.probe_accuracy, p.hundredths) AS rank
    FROM point AS p
    JOIN whole AS w USING (run_id)
    JOIN target AS t ON p.probe_accuracy >= w.probe_accuracy - t.within - 1e-9
                     OR (p.probe_multiply_adds - w.base) <= t.share * (w.multiply_adds - w.base) + 1e-9
)
SELECT configuration, rule, target, count(*) AS seeds, avg(hundredths) / 100.0 AS threshold, avg(accuracy) AS accuracy,
       min(accuracy) AS lowest, max(accuracy) AS highest, avg(accuracy - whole) AS difference,
       min(accuracy - whole) AS difference_lowest, max(accuracy - whole) AS difference_highest,
       avg(multiply_adds) AS multiply_adds
FROM ranked
WHERE rank = 1
GROUP BY configuration, rule, place
ORDER BY configuration, rule, place;
