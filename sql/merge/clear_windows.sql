DELETE FROM main.load_window_block WHERE run_id = :new;
