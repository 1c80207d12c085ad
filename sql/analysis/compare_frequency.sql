-- The losses of each document by how frequent a token is, at a run's last evaluation of :split (valid unless told), or
-- the last one up to :step: sums over the tokens that were logged. :of is 'input' or 'target' (the token to be
-- predicted; also when unset); :runs a JSON array of run ids (unset: all); :key and :value choose documents by a label
-- ('language', 'en'; unset: all). Buckets, by the train split of the run's corpus: the most frequent ids that make up
-- half of its tokens (0), those from there to 80 % (1), to 95 % (2), the rest (3), and ids that it never has (4).
WITH wanted AS (
  SELECT key AS position, value AS run_id
  FROM json_each(coalesce(:runs, (SELECT json_group_array(run_id) FROM run)))
),
final AS MATERIALIZED (
  SELECT position, run_id, r.corpus_id, r.vocabulary_id,
         (SELECT max(step) FROM document_loss AS l
          WHERE l.run_id = wanted.run_id AND l.split = coalesce(:split, 'valid')
            AND l.step <= coalesce(:step, l.step)) AS step
  FROM wanted JOIN run AS r USING (run_id)
),
ranked AS (
  SELECT corpus_id, vocabulary_id, token_id, train_count, sum(train_count) OVER whole AS total,
         sum(train_count) OVER (PARTITION BY corpus_id, vocabulary_id ORDER BY train_count DESC, token_id)
           - train_count AS before
  FROM token_count
  WINDOW whole AS (PARTITION BY corpus_id, vocabulary_id)
),
item AS MATERIALIZED (
  SELECT corpus_id, vocabulary_id, token_id,
         CASE WHEN train_count = 0 THEN 4 WHEN before < 0.5 * total THEN 0 WHEN before < 0.8 * total THEN 1
              WHEN before < 0.95 * total THEN 2 ELSE 3 END AS bucket
  FROM ranked
),
scored AS (
  SELECT f.position, f.run_id, f.step, t.document_id, coalesce(i.bucket, 4) AS bucket, count(*) AS n_tokens,
         CASE WHEN count(t.loss) = count(*) THEN sum(t.loss) END AS loss_sum
  FROM final AS f
  JOIN token_loss AS t ON t.run_id = f.run_id AND t.step = f.step AND t.split = coalesce(:split, 'valid')
  LEFT JOIN item AS i ON i.corpus_id = f.corpus_id AND i.vocabulary_id = f.vocabulary_id
                     AND i.token_id = CASE WHEN :of = 'input' THEN t.token_id ELSE t.target_id END
  GROUP BY f.position, t.document_id, coalesce(i.bucket, 4)
)
SELECT s.position, s.run_id, s.step, s.bucket, s.document_id, d.sha256, m.name AS domain,
       d.n_tokens AS document_tokens, s.n_tokens, NULL AS n_bytes, s.loss_sum
FROM scored AS s
JOIN document AS d USING (document_id)
JOIN domain AS m USING (domain_id)
WHERE :key IS NULL OR EXISTS (SELECT 1 FROM document_label AS l
                              WHERE l.document_id = s.document_id AND l.key = :key AND l.value = :value)
ORDER BY s.position, s.document_id, s.bucket;
