-- The MoE layers of a run; n_all: with the shared experts, which are numbered on.
SELECT layer, n_experts, coalesce(k, 0) AS k,
       coalesce((SELECT max(expert) + 1 FROM expert AS e WHERE e.run_id = l.run_id AND e.layer = l.layer), n_experts) AS n_all
FROM moe_layer AS l
WHERE run_id = :run AND layer BETWEEN 0 AND 1023;
