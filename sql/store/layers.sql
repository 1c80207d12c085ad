SELECT layer, n_experts FROM moe_layer WHERE run_id = :run;
