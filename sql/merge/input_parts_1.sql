-- The same of a logbook of schema version 1, in which every run is one log.
DELETE FROM temp.input_part;
INSERT INTO temp.input_part (part, origin, last_step, held, added_at)
SELECT uuid, NULL, :last_step, :held, started_at FROM input.run WHERE run_id = :old;
