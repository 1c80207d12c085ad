-- Whether a run may still be written: for how many seconds it has been silent, and since when.
SELECT status = 'running',
       coalesce((julianday('now') - julianday(coalesce(heartbeat_at, started_at))) * 86400, 1e9),
       coalesce(heartbeat_at, started_at)
FROM run WHERE run_id = :run;
