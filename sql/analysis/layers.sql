-- The MoE layers of a run, in order of block. Without :run, of the newest run.
SELECT l.layer, l.router, l.n_experts, l.k,
       (SELECT count(*) FROM expert AS e WHERE e.run_id = l.run_id AND e.layer = l.layer) AS expert_rows
FROM moe_layer AS l
WHERE run_id = coalesce(:run, (SELECT max(run_id) FROM run))
ORDER BY layer;
