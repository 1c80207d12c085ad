SELECT layer, n_experts, k, router FROM moe_layer WHERE run_id = :run;
