-- Mean tokens of a training step, from the running total: needed where the number of experts varies by token, so
-- that tokens cannot be told from decisions. Without :run, of the newest run.
SELECT max(value) / (max(step) + 1) AS tokens
FROM metric
WHERE run_id = coalesce(:run, (SELECT max(run_id) FROM run)) AND split = 'train' AND name = 'tokens';
