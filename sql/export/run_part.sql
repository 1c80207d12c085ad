-- the logs that they are made of
SELECT *
FROM run_part
WHERE 1
  AND run_id = :run;
