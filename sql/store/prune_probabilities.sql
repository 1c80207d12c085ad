-- Drops the router's probabilities of one pass; how many each block had, in how many bytes.
DELETE FROM probability_block WHERE block_id IN (
    SELECT s.sequence_id * 1024 + l.layer
    FROM sequence AS s JOIN moe_layer AS l ON l.run_id = s.run_id
    WHERE s.run_id = :run AND s.split = :split AND s.step = :step)
RETURNING length(p) / 2, length(p);
