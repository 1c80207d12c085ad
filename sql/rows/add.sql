-- rows.c binds these by their number.
INSERT INTO routing (run_id, step, sequence_id, position, layer, slot, expert, gate) VALUES (:run, :step, :sequence, :position, :layer, :slot, :expert, :gate);
