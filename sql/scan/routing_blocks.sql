-- The decisions of a sequence, or of some of its layers.
SELECT block_id, codec, k, scale, experts, gates, offsets, dropped, checksum
FROM main.routing_block
WHERE block_id BETWEEN :first_block AND :last_block
ORDER BY block_id;
