-- what happened to them
SELECT *
FROM event
WHERE 1
  AND run_id = :run
  AND step BETWEEN :first_step AND :last_step;
