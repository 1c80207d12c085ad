INSERT INTO expert (run_id, layer, expert, kind, parameters) VALUES (:run, :layer, :expert, :kind, :parameters);
