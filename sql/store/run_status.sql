SELECT name, status FROM run WHERE run_id = :run;
