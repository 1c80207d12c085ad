-- load of every expert as a matrix (MoE layers, experts), what EPLB's rebalance_experts wants
WITH counted AS MATERIALIZED (
SELECT layer, expert, sum(assignments) AS load
FROM expert_load
WHERE run_id = :run
  AND domain_id IS NULL
  AND split = :split
  AND step BETWEEN :first_step AND :last_step
GROUP BY layer, expert
)
SELECT layer, expert, load
FROM counted
UNION ALL
SELECT layer, i, 0 -- of a layer without load
FROM moe_layer JOIN _integer ON i < n_experts
WHERE run_id = :run
  AND layer NOT IN (SELECT layer FROM counted)
  AND EXISTS (SELECT 1 FROM counted)
ORDER BY layer, expert;
