-- their settings, one row each
SELECT *
FROM run_config
WHERE 1
  AND run_id = :run;
