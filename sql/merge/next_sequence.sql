-- The first sequence id that nothing here refers to.
SELECT max(coalesce((SELECT max(sequence_id) FROM main.sequence), 0),
           coalesce((SELECT max(block_id) >> 10 FROM main.routing_block), 0),
           coalesce((SELECT max(block_id) >> 10 FROM main.probability_block), 0)) + 1;
