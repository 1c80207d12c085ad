-- weights on disk
SELECT *
FROM checkpoint
WHERE 1
  AND run_id = :run
  AND step BETWEEN :first_step AND :last_step;
