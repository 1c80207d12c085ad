-- Which sequences of a run, in order of their ids: found and sorted in the index alone.
SELECT sequence_id, step, split
FROM sequence
WHERE run_id = :run AND (:split IS NULL OR split = :split) AND step BETWEEN :first_step AND :last_step
ORDER BY sequence_id;
