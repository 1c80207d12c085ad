-- Predicted tokens of each pass, in the order of check_all_loads.
SELECT run_id, step, split, sum(n_tokens)
FROM document_loss
GROUP BY run_id, step, split
ORDER BY run_id, step, split;
