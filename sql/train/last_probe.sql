-- The last step at which a run's probe was routed; 0 where it never was.
SELECT coalesce(max(step), 0) FROM sequence WHERE run_id = :run AND split = 'probe';
