INSERT INTO main.load_window_block (run_id, first_step, last_step, layer, experts)
SELECT :new, first_step, last_step, layer, experts FROM input.load_window_block WHERE run_id = :old;
