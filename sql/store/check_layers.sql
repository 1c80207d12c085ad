SELECT layer, n_experts, k FROM moe_layer WHERE run_id = :run;
