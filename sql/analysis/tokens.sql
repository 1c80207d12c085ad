-- The vocabulary of a run: text of each token and how often it occurs in the text trained on.
SELECT token.token_id, token.text, token.kind, coalesce(token_count.train_count, 0) AS train_count
FROM run
JOIN token USING (vocabulary_id)
LEFT JOIN token_count USING (corpus_id, vocabulary_id, token_id)
WHERE run.run_id = coalesce(:run, (SELECT max(run_id) FROM run))
ORDER BY token.token_id;
