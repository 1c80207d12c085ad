UPDATE run SET name = :name WHERE run_id = :run;
