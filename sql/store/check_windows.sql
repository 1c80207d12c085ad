SELECT count(*) FROM load_window_block;
