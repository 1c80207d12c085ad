-- What does leaving early cost and save, by configuration of a study?
-- Runs of a single gate, named CONFIGURATION.seedN, at the last step: accuracy and multiply-adds of a valid sample for
-- each threshold of both rules (Royer et al. 2023; alpha: experts whose gate times what the base leaves open reaches
-- the threshold are run; confidence: none is where the base's best probability does); mean, lowest and highest of the
-- seeds. chosen: how many of the seeds would take this threshold for its accuracy on probe samples, the cheapest of
-- equals.
-- Experts that were not trained (train.steps = 0) are left out. :rule: alpha or confidence alone.
-- :runs, a JSON array of run ids: these alone.
WITH study_run AS (
    SELECT run_id, seed, substr(name, 1, instr(name, '.seed') - 1) AS configuration FROM run
    WHERE instr(name, '.seed') > 1 AND status = 'finished'
      AND (:runs IS NULL OR run_id IN (SELECT value FROM json_each(:runs)))
      AND coalesce(json_extract(config, '$."train.steps"'), 1) > 0
),
figure AS (
    SELECT r.configuration, r.seed, m.split, x.value AS rule,
           CAST(substr(m.name, length(x.value) + 7) AS INTEGER) AS hundredths, -- exit_RULE_NN_FIGURE
           substr(substr(m.name, length(x.value) + 7), instr(substr(m.name, length(x.value) + 7), '_') + 1) AS name,
           m.value
    FROM study_run AS r
    JOIN metric AS m USING (run_id)
    JOIN json_each('["alpha", "confidence"]') AS x ON m.name LIKE 'exit\_' || x.value || '\_%' ESCAPE '\'
    WHERE (:rule IS NULL OR x.value = :rule)
      AND m.step = (SELECT max(s.step) FROM metric AS s WHERE s.run_id = r.run_id AND s.split = 'valid')
),
point AS (
    SELECT configuration, seed, rule, hundredths,
           max(CASE WHEN split = 'valid' AND name = 'accuracy' THEN value END) AS accuracy,
           max(CASE WHEN split = 'valid' AND name = 'multiply_adds' THEN value END) AS multiply_adds,
           max(CASE WHEN split = 'probe' AND name = 'accuracy' THEN value END) AS probe_accuracy
    FROM figure
    GROUP BY configuration, seed, rule, hundredths
),
ranked AS (
    SELECT *, row_number() OVER (PARTITION BY configuration, seed, rule
                                 ORDER BY probe_accuracy DESC, multiply_adds, hundredths) AS place
    FROM point
)
SELECT configuration, rule, hundredths / 100.0 AS threshold, count(*) AS seeds, avg(accuracy) AS accuracy,
       min(accuracy) AS lowest, max(accuracy) AS highest, avg(multiply_adds) AS multiply_adds, sum(place = 1) AS chosen
FROM ranked
GROUP BY configuration, rule, hundredths
ORDER BY configuration, rule, hundredths;
