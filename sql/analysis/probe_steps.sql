-- The steps at which a run's probe was routed.
SELECT DISTINCT step
FROM sequence
WHERE run_id = coalesce(:run, (SELECT max(run_id) FROM run)) AND split = 'probe'
ORDER BY step;
