-- How much better does a model know what it was trained on, frequent and rare tokens, by configuration of a study?
-- Runs named CONFIGURATION.seedN: loss on valid documents less that on train documents read again (split seen), at
-- the last step, in nats per token; by the frequency of :of (target: the token to be predicted; or input).
-- :runs, a JSON array of run ids: these alone.
WITH study_run AS (
    SELECT run_id, seed, substr(name, 1, instr(name, '.seed') - 1) AS configuration FROM run
    WHERE instr(name, '.seed') > 1 AND status = 'finished'
      AND (:runs IS NULL OR run_id IN (SELECT value FROM json_each(:runs)))
),
ranked AS (
    SELECT corpus_id, token_id, train_count, sum(train_count) OVER whole AS total,
           sum(train_count) OVER (PARTITION BY corpus_id ORDER BY train_count DESC, token_id) - train_count AS before
    FROM token_count
    WINDOW whole AS (PARTITION BY corpus_id)
),
item AS MATERIALIZED (
    SELECT corpus_id, token_id,
           CASE WHEN train_count = 0 THEN '5 unseen' WHEN before < 0.5 * total THEN '1 first 50 %'
                WHEN before < 0.8 * total THEN '2 50 to 80 %' WHEN before < 0.95 * total THEN '3 80 to 95 %'
                ELSE '4 rest' END AS bucket
    FROM ranked
),
scored AS (
    SELECT r.run_id, r.configuration, r.seed, t.split, i.bucket, avg(t.loss) AS loss, count(*) AS n_tokens
    FROM study_run AS r
    JOIN token_loss AS t USING (run_id)
    JOIN run USING (run_id)
    JOIN item AS i ON i.corpus_id = run.corpus_id
                  AND i.token_id = CASE WHEN :of = 'input' THEN t.token_id ELSE t.target_id END
    WHERE t.split IN ('valid', 'seen')
      AND t.step = (SELECT max(l.step) FROM document_loss AS l WHERE l.run_id = r.run_id AND l.split = t.split)
    GROUP BY r.run_id, t.split, i.bucket
)
SELECT v.configuration, v.bucket, count(*) AS seeds, avg(v.n_tokens) AS valid_tokens, avg(s.n_tokens) AS seen_tokens,
       avg(v.loss) AS valid_loss, avg(s.loss) AS seen_loss, avg(v.loss - s.loss) AS gap, min(v.loss - s.loss) AS lowest,
       max(v.loss - s.loss) AS highest
FROM scored AS v JOIN scored AS s ON s.run_id = v.run_id AND s.bucket = v.bucket AND s.split = 'seen'
WHERE v.split = 'valid'
GROUP BY v.configuration, v.bucket
ORDER BY v.configuration, v.bucket;
