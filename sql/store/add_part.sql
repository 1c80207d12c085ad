-- The log that begins with the run :run.
INSERT INTO run_part (run_id, part, added_at)
SELECT run_id, lower(hex(randomblob(16))), started_at FROM run WHERE run_id = :run;
