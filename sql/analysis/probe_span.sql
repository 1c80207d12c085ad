-- The first and the last step at which a run's probe was routed. Without :run, of the newest run.
SELECT min(step) AS first_step, max(step) AS last_step, count(DISTINCT step) AS steps
FROM sequence
WHERE run_id = coalesce(:run, (SELECT max(run_id) FROM run)) AND split = 'probe';
