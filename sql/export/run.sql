-- the runs
SELECT *
FROM run
WHERE 1
  AND run_id = :run;
