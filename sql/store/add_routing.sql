INSERT INTO routing_block (block_id, codec, k, scale, experts, gates, offsets, dropped, checksum)
VALUES (:block, :codec, :k, :scale, :experts, :gates, :offsets, :dropped, :checksum);
