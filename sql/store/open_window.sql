-- The first training step of the run :run that no window has been closed over.
SELECT coalesce(max(last_step) + 1, 0) FROM load_window_block WHERE run_id = :run;
