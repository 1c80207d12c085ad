-- A run that is being written here: it has shown a sign of life within the last minute, and was not merged since.
SELECT run.name
FROM main.run JOIN main.run_part AS p USING (run_id)
WHERE run.status = 'running' AND (p.origin IS NULL OR run.heartbeat_at > p.added_at)
  AND julianday('now') - julianday(coalesce(run.heartbeat_at, run.started_at)) BETWEEN -60.0 / 86400 AND 60.0 / 86400
LIMIT 1;
