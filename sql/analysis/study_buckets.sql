-- Losses by how frequent a token is: sums over the valid tokens of each run of a study, by domain and bucket, at the
-- last step. :of is 'target' (the token to be predicted) or 'input' (unset: target). :key and :value choose documents
-- by a label ('language', 'en'); unset: all. Buckets: the ids that make up the most frequent 50 % of the train tokens
-- (0), those from there to 80 % (1), to 95 % (2), the rest (3), and ids that training never saw (4).
WITH study_run AS (
    SELECT run_id, seed, substr(name, 1, instr(name, '.seed') - 1) AS configuration, corpus_id FROM run
    WHERE instr(name, '.seed') > 1 AND status = 'finished'
),
ranked AS (
    SELECT corpus_id, token_id, train_count, sum(train_count) OVER whole AS total,
           sum(train_count) OVER (PARTITION BY corpus_id ORDER BY train_count DESC, token_id) - train_count AS before
    FROM token_count
    WINDOW whole AS (PARTITION BY corpus_id)
),
item AS MATERIALIZED (
    SELECT corpus_id, token_id,
           CASE WHEN train_count = 0 THEN 4 WHEN before < 0.5 * total THEN 0 WHEN before < 0.8 * total THEN 1
                WHEN before < 0.95 * total THEN 2 ELSE 3 END AS bucket
    FROM ranked
)
SELECT r.run_id, r.configuration, r.seed, t.domain_id, i.bucket, count(*) AS n_tokens, sum(t.loss) AS loss_sum
FROM study_run AS r
JOIN token_loss AS t ON t.run_id = r.run_id
JOIN item AS i ON i.corpus_id = r.corpus_id
              AND i.token_id = CASE WHEN :of = 'input' THEN t.token_id ELSE t.target_id END
WHERE t.split = 'valid' AND t.loss IS NOT NULL
  AND t.step = (SELECT max(l.step) FROM document_loss AS l WHERE l.run_id = r.run_id AND l.split = 'valid')
  AND (:key IS NULL OR EXISTS (SELECT 1 FROM document_label AS d
                               WHERE d.document_id = t.document_id AND d.key = :key AND d.value = :value))
GROUP BY r.run_id, t.domain_id, i.bucket
ORDER BY r.run_id, i.bucket, t.domain_id;
