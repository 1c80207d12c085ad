-- one row per decision: which expert a token was sent to, with what gate
SELECT *
FROM routing
WHERE 1
  AND run_id = :run
  AND split = :split
  AND step BETWEEN :first_step AND :last_step
  AND layer = :layer;
