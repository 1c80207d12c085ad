-- The machine a run was made on, fact by fact. Without :run, of the newest run.
SELECT j.key, CAST(j.value AS TEXT) AS value
FROM run AS r, json_each(r.machine) AS j
WHERE r.run_id = coalesce(:run, (SELECT max(run_id) FROM run)) AND j.value IS NOT NULL;
