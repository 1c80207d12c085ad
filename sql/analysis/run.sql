-- What a run is called and what it was. Without :run, the newest.
SELECT run_id, name, task, router, seed, status
FROM run
WHERE run_id = coalesce(:run, (SELECT max(run_id) FROM run));
