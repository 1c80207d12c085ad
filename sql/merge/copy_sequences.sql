-- The passes :first to :last of the run :old, :delta higher than there, with their blocks.
INSERT INTO main.sequence (sequence_id, run_id, step, split, sample_id, losses, checksum)
SELECT s.sequence_id + :delta, :new, s.step, s.split, m.new, s.losses, s.checksum
FROM input.sequence AS s LEFT JOIN temp.sample_map AS m ON m.old = s.sample_id
WHERE s.sequence_id BETWEEN :first AND :last AND +s.run_id = :old
ORDER BY s.sequence_id;

INSERT INTO main.routing_block (block_id, codec, k, scale, experts, gates, offsets, dropped, checksum)
SELECT b.block_id + :delta * 1024, b.codec, b.k, b.scale, b.experts, b.gates, b.offsets, b.dropped, b.checksum
FROM input.sequence AS s
CROSS JOIN input.routing_block AS b ON b.block_id BETWEEN s.sequence_id * 1024 AND s.sequence_id * 1024 + 1023
WHERE s.sequence_id BETWEEN :first AND :last AND +s.run_id = :old
ORDER BY s.sequence_id, b.block_id;

INSERT INTO main.probability_block (block_id, n_experts, p, checksum)
SELECT b.block_id + :delta * 1024, b.n_experts, b.p, b.checksum
FROM input.sequence AS s
CROSS JOIN input.probability_block AS b ON b.block_id BETWEEN s.sequence_id * 1024 AND s.sequence_id * 1024 + 1023
WHERE s.sequence_id BETWEEN :first AND :last AND +s.run_id = :old
ORDER BY s.sequence_id, b.block_id;
