-- The exact losses of one pass.
SELECT document_id, n_tokens, loss_sum
FROM document_loss
WHERE run_id = :run AND step = :step AND split = :split
ORDER BY document_id;
