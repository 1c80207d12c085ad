-- What happened in the runs: starts, resumes, alarms, ends?
SELECT r.name AS run, e.step, e.at, e.kind, e.layer, e.expert, e.value, e.message
FROM event AS e
JOIN run AS r USING (run_id)
WHERE :run IS NULL OR r.run_id = :run
ORDER BY e.event_id;
