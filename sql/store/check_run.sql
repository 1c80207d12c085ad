-- What the check of a run's rows depends on: whether its sequences came from one log, in the order of its steps.
SELECT status, status <> 'imported' AND (SELECT count(*) FROM run_part AS p WHERE p.run_id = run.run_id) <= 1
FROM run WHERE run_id = :run;
