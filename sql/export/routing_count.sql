-- decisions as they are counted, a row each: for spreadsheets that add up
SELECT *
FROM routing_count
WHERE 1
  AND run_id = :run
  AND split = :split
  AND step BETWEEN :first_step AND :last_step
  AND layer = :layer;
