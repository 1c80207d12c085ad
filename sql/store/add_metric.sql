INSERT INTO metric (run_id, step, split, name, value, status)
VALUES (:run, :step, :split, :name, :value, :status);
