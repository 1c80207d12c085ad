-- the same of training, summed over windows of a hundred steps
SELECT *
FROM expert_load_window
WHERE 1
  AND run_id = :run
  AND last_step >= :first_step AND first_step <= :last_step
  AND layer = :layer;
