-- router entropy and rank mass by layer
SELECT *
FROM layer_metric
WHERE 1
  AND run_id = :run
  AND split = :split
  AND step BETWEEN :first_step AND :last_step
  AND layer = :layer;
