-- how much every expert was used in every logged step, exact
SELECT *
FROM expert_load
WHERE 1
  AND run_id = :run
  AND split = :split
  AND step BETWEEN :first_step AND :last_step
  AND layer = :layer;
