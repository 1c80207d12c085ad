-- The router's probabilities in a sequence, or in some of its layers.
SELECT block_id, n_experts, p, checksum
FROM main.probability_block
WHERE block_id BETWEEN :first_block AND :last_block
ORDER BY block_id;
