SELECT count(*) FROM main.run WHERE name = :name AND run_id <> :new;
