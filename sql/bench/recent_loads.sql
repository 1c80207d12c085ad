-- How often was each expert chosen in the last hundred steps of training?
SELECT layer, expert, sum(assignments) AS assignments, sum(dropped) AS dropped, sum(gate_sum) AS gate_sum
FROM expert_load
WHERE run_id = :run AND split = 'train' AND domain_id IS NULL
  AND step > (SELECT max(step) FROM metric WHERE run_id = :run AND split = 'train') - 100
GROUP BY layer, expert;
