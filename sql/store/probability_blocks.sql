SELECT block_id & 1023, n_experts, p, checksum
FROM probability_block
WHERE block_id BETWEEN :first_block AND :last_block
ORDER BY block_id;
