-- Validation loss by step, token-weighted over documents. Without :run, of the newest run.
SELECT step, count(*) AS documents, sum(n_tokens) AS tokens, sum(loss_sum) / sum(n_tokens) AS loss
FROM document_loss
WHERE run_id = coalesce(:run, (SELECT max(run_id) FROM run)) AND split = 'valid'
GROUP BY step
ORDER BY step;
