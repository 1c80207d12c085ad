INSERT INTO main.load_block (run_id, step, split, layer, domain_id, experts)
VALUES (:new, :step, :split, :layer, :domain, :experts)
ON CONFLICT (run_id, step, split, layer, domain_id) DO UPDATE SET experts = excluded.experts;
