-- The blocks of a sequence, or of one of its layers.
SELECT block_id & 1023, codec, k, scale, experts, gates, offsets, dropped, checksum
FROM routing_block
WHERE block_id BETWEEN :first_block AND :last_block
ORDER BY block_id;
