INSERT INTO load_block (run_id, step, split, layer, domain_id, experts)
VALUES (:run, :step, :split, :layer, :domain, :experts);
