-- How much better is each expert of a single gate on train images than on test images that the gate sends it?
-- Runs named CONFIGURATION.seedN, with valid.seen_documents, at the last step: accuracy on seen (train) and valid (test)
-- images by likeliest expert, of base + expert, of the expert alone and of the base alone on the same images; gaps:
-- train minus test.
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
SELECT configuration, seed, expert, train_images, test_images, train, test, train - test AS gap, train_alone, test_alone,
       train_alone - test_alone AS gap_alone, train_base - test_base AS gap_base
FROM answer
ORDER BY configuration, seed, expert;
