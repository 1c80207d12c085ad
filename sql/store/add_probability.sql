INSERT INTO probability_block (block_id, n_experts, p, checksum) VALUES (:block, :n_experts, :p, :checksum);
