-- What do frequent and rare tokens lose, by configuration of a study?
-- Runs named CONFIGURATION.seedN: loss on valid documents at the last step, in nats per token, by the frequency of :of
-- (target: the token to be predicted; or input); of documents with the label :key = :value alone (language, en) where
-- these are set. Mean, lowest and highest of the seeds. Intervals and differences: moescope compare --by.
-- :runs, a JSON array of run ids: these alone.
WITH study_run AS (
    SELECT run_id, seed, substr(name, 1, instr(name, '.seed') - 1) AS configuration, corpus_id FROM run
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
    SELECT r.run_id, r.configuration, i.bucket, avg(t.loss) AS loss, count(t.loss) AS n_tokens
    FROM study_run AS r
    JOIN token_loss AS t USING (run_id)
    JOIN item AS i ON i.corpus_id = r.corpus_id
                  AND i.token_id = CASE WHEN :of = 'input' THEN t.token_id ELSE t.target_id END
    WHERE t.split = 'valid'
      AND t.step = (SELECT max(l.step) FROM document_loss AS l WHERE l.run_id = r.run_id AND l.split = 'valid')
      AND (:key IS NULL OR EXISTS (SELECT 1 FROM document_label AS d
                                   WHERE d.document_id = t.document_id AND d.key = :key AND d.value = :value))
    GROUP BY r.run_id, i.bucket
)
SELECT configuration, bucket, count(*) AS seeds, avg(n_tokens) AS tokens, avg(loss) AS loss, min(loss) AS lowest,
       max(loss) AS highest
FROM scored
GROUP BY configuration, bucket
ORDER BY configuration, bucket;
