-- The logs of the run :new here, likewise.
DELETE FROM temp.output_part;
INSERT INTO temp.output_part (part, last_step, held)
SELECT part, coalesce(last_step, :last_step), coalesce(held, :held) FROM main.run_part WHERE run_id = :new;
