-- Which ids are frequent, by the train split of run :run_a's corpus: the most frequent ones that make up half of its
-- tokens (bucket 0), those from there to 80 % (1), to 95 % (2), the rest (3), and ids that it never has (4). least and
-- most: how often the rarest and the most frequent id of a bucket occur.
WITH counted AS (
  SELECT token.token_id, coalesce(token_count.train_count, 0) AS train_count
  FROM run
  JOIN token USING (vocabulary_id)
  LEFT JOIN token_count USING (corpus_id, vocabulary_id, token_id)
  WHERE run.run_id = :run_a
),
ranked AS (
  SELECT train_count, sum(train_count) OVER () AS total,
         sum(train_count) OVER (ORDER BY train_count DESC, token_id) - train_count AS before
  FROM counted
)
SELECT CASE WHEN train_count = 0 THEN 4 WHEN before < 0.5 * total THEN 0 WHEN before < 0.8 * total THEN 1
            WHEN before < 0.95 * total THEN 2 ELSE 3 END AS bucket,
       count(*) AS ids, sum(train_count) AS train_tokens, 1.0 * sum(train_count) / nullif(total, 0) AS share,
       min(train_count) AS least, max(train_count) AS most
FROM ranked
GROUP BY bucket
ORDER BY bucket;
