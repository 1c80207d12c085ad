SELECT count(*) FROM run_part WHERE run_id = :run;
