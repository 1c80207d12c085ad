-- load of every expert as a matrix (MoE layers, experts), what EPLB's rebalance_experts wants
SELECT layer, expert, sum(assignments) AS load
FROM expert_load
WHERE run_id = :run
  AND domain_id IS NULL
  AND split = :split
  AND step BETWEEN :first_step AND :last_step
GROUP BY layer, expert
ORDER BY layer, expert;
