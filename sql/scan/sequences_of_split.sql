-- The same of one run and split.
SELECT sequence_id, run_id, step, split
FROM main.sequence
WHERE run_id = :run AND split = :split AND step BETWEEN :first_step AND :last_step
  AND +sequence_id BETWEEN :first_sequence AND :last_sequence
ORDER BY +sequence_id;
