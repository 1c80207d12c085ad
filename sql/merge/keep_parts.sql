-- What the run :new holds before another part is added: afterwards it cannot be told any more.
UPDATE main.run_part
SET last_step = o.last_step, held = o.held
FROM temp.output_part AS o
WHERE main.run_part.run_id = :new AND o.part = main.run_part.part;
