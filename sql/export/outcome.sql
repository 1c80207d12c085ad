-- what classifiers said
SELECT *
FROM outcome
WHERE 1
  AND run_id = :run
  AND split = :split
  AND step BETWEEN :first_step AND :last_step;
