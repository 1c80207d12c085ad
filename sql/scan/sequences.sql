-- Passes over samples, in order of their ids.
SELECT sequence_id, run_id, step, split
FROM main.sequence
WHERE sequence_id BETWEEN :first_sequence AND :last_sequence
ORDER BY sequence_id;
