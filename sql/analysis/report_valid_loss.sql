-- Validation loss by step over all documents, in nats per token and in bits per byte; NULL where a document's
-- loss is not a number. Without :run, of the newest run.
SELECT step, count(*) AS documents,
       CASE WHEN count(loss_sum) = count(*) THEN sum(loss_sum) / sum(n_tokens) END AS loss,
       CASE WHEN count(loss_sum) = count(*)
            THEN sum(loss_sum) / 0.693147180559945309 / nullif(sum(n_bytes), 0) END AS bits_per_byte
FROM document_loss
WHERE run_id = coalesce(:run, (SELECT max(run_id) FROM run)) AND split = 'valid'
GROUP BY step
ORDER BY step;
