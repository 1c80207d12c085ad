-- How much better are experts on train images than on test images that the gate sends them, by configuration of a study?
-- Runs of a single gate, named CONFIGURATION.seedN, with valid.seen_documents, at the last step: accuracy on train
-- images that an expert gets minus that on such test images; of base + expert (gap), of the expert alone, of the base
-- alone on the same images. Means over experts with at least :images (50) of either and over seeds; lowest and highest
-- expert of any seed. One by one: study_gate_experts.
-- :runs, a JSON array of run ids: these alone.
WITH study_run AS (
    SELECT run_id, seed, substr(name, 1, instr(name, '.seed') - 1) AS configuration FROM run
    WHERE instr(name, '.seed') > 1 AND status = 'finished'
      AND (:runs IS NULL OR run_id IN (SELECT value FROM json_each(:runs)))
),
figure AS (
    SELECT r.*, m.split, CAST(substr(m.name, 8) AS INTEGER) AS expert, -- expert_K_FIGURE: a cast takes the digits alone
           substr(m.name, 8 + instr(substr(m.name, 8), '_')) AS name, m.value
    FROM study_run AS r JOIN metric AS m USING (run_id)
    WHERE m.split IN ('seen', 'valid') AND m.name LIKE 'expert\_%' ESCAPE '\'
),
answer AS (
    SELECT f.*,
           max(CASE WHEN split = 'seen' AND name = 'images' THEN value END) AS train_images,
           max(CASE WHEN split = 'valid' AND name = 'images' THEN value END) AS test_images,
           max(CASE WHEN split = 'seen' AND name = 'accuracy' THEN value END) AS train,
           max(CASE WHEN split = 'valid' AND name = 'accuracy' THEN value END) AS test,
           max(CASE WHEN split = 'seen' AND name = 'alone' THEN value END) AS train_alone,
           max(CASE WHEN split = 'valid' AND name = 'alone' THEN value END) AS test_alone,
           max(CASE WHEN split = 'seen' AND name = 'base' THEN value END) AS train_base,
           max(CASE WHEN split = 'valid' AND name = 'base' THEN value END) AS test_base
    FROM figure AS f
    GROUP BY run_id, expert
)
SELECT configuration, count(DISTINCT seed) AS seeds, 1.0 * count(*) / count(DISTINCT seed) AS experts,
       avg(train - test) AS gap, min(train - test) AS lowest, max(train - test) AS highest,
       avg(train_alone - test_alone) AS gap_alone, min(train_alone - test_alone) AS alone_lowest,
       max(train_alone - test_alone) AS alone_highest, avg(train_base - test_base) AS gap_base
FROM answer
WHERE min(train_images, test_images) >= coalesce(:images, 50)
GROUP BY configuration
ORDER BY configuration;
