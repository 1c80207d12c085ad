-- The last training step that windows of loads are closed over: the last window of a run that has not ended is open.
SELECT coalesce(max(CASE WHEN run.status <> 'running' THEN b.step ELSE (b.step + 1) / 100 * 100 - 1 END), -1)
FROM main.load_block AS b JOIN main.run USING (run_id)
WHERE run_id = :new AND b.split = 'train';
