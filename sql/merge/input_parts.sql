-- The logs of the input's run :old. Of a run that is one log :held and :last_step say what it holds.
DELETE FROM temp.input_part;
INSERT INTO temp.input_part (part, origin, last_step, held, added_at)
SELECT part, origin, coalesce(last_step, :last_step), coalesce(held, :held), added_at
FROM input.run_part WHERE run_id = :old;
