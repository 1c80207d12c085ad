-- The same of one run, found and sorted in the index sequence_pass alone (the + keeps it there).
SELECT sequence_id, run_id, step, split
FROM main.sequence
WHERE run_id = :run AND step BETWEEN :first_step AND :last_step
  AND +sequence_id BETWEEN :first_sequence AND :last_sequence
ORDER BY +sequence_id;
