-- The id is the next one: two writers cannot meet here, for each writes in a transaction of its own.
INSERT INTO sequence (run_id, step, split, sample_id, losses, checksum)
VALUES (:run, :step, :split, :sample, :losses, :checksum);
