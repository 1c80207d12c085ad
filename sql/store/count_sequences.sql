SELECT count(*) FROM sequence WHERE run_id = :run;
