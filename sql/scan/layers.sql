-- The MoE layers of a run.
SELECT layer, n_experts FROM main.moe_layer WHERE run_id = :run;
