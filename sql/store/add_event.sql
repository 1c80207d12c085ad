INSERT INTO event (run_id, step, at, kind, layer, expert, value, message)
VALUES (:run, :step, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), :kind, :layer, :expert, :value, :message);
