-- What happened in a run, the newest first, the start left out; :most events of it. Without :run, the newest run.
SELECT e.step, e.kind, e.layer, e.message
FROM event AS e
WHERE e.run_id = coalesce(:run, (SELECT max(run_id) FROM run)) AND e.kind <> 'started'
ORDER BY e.event_id DESC
LIMIT coalesce(:most, 8);
