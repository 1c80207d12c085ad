-- A window of loads.
SELECT last_step, experts FROM load_window_block WHERE run_id = :run AND first_step = :first AND layer = :layer;
