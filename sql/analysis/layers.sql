-- The MoE layers of a run, in order of block. Without :run, of the newest run.
SELECT layer, router, n_experts, k
FROM moe_layer
WHERE run_id = coalesce(:run, (SELECT max(run_id) FROM run))
ORDER BY layer;
