-- Seconds that a run had spent when it had completed :step updates.
SELECT value AS seconds FROM metric
WHERE run_id = :run AND step = :step - 1 AND split = 'train' AND name = 'seconds';
