-- passes over samples, without their packed losses
SELECT sequence_id, run_id, step, split, sample_id
FROM sequence
WHERE 1
  AND run_id = :run
  AND split = :split
  AND step BETWEEN :first_step AND :last_step;
