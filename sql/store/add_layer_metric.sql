INSERT INTO layer_metric (run_id, step, split, layer, name, value)
VALUES (:run, :step, :split, :layer, :name, :value);
