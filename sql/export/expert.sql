-- their experts
SELECT *
FROM expert
WHERE 1
  AND run_id = :run
  AND layer = :layer;
