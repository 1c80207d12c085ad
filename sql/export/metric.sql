-- losses, norms, rates: one row a step and name
SELECT *
FROM metric
WHERE 1
  AND run_id = :run
  AND split = :split
  AND step BETWEEN :first_step AND :last_step;
