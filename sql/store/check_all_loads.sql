-- All loads, in the order of their key.
SELECT run_id, step, split, layer, domain_id, experts
FROM load_block
ORDER BY run_id, step, split, layer, domain_id;
