-- the router's whole probability vector of the probe and of routed text
SELECT *
FROM probability
WHERE 1
  AND run_id = :run
  AND step BETWEEN :first_step AND :last_step
  AND layer = :layer;
