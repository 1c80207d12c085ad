-- their MoE layers
SELECT *
FROM moe_layer
WHERE 1
  AND run_id = :run
  AND layer = :layer;
