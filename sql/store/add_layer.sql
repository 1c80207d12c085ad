INSERT INTO moe_layer (run_id, layer, router, n_experts, k)
VALUES (:run, :layer, :router, :n_experts, nullif(:k, 0));
