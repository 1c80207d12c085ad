INSERT OR REPLACE INTO load_window_block (run_id, first_step, last_step, layer, experts)
VALUES (:run, :first, :last, :layer, :experts);
