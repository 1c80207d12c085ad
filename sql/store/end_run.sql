UPDATE run
SET status = :status,
    heartbeat_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now'),
    finished_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now')
WHERE run_id = :run
RETURNING (SELECT max(step) FROM metric WHERE metric.run_id = run.run_id);
