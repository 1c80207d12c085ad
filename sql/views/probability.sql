-- The router's whole probability vector, one row per token, layer and expert; kept for the probe and
-- routed text.
--     SELECT layer, expert, avg(probability) AS mean_probability FROM probability
--     WHERE sequence_id = (SELECT max(block_id) / 1024 FROM probability_block) GROUP BY layer, expert;
CREATE VIEW probability (
    run_id,
    step,
    sequence_id,
    sample_id,
    position,   -- within the sequence, from 0
    layer,
    expert,
    probability -- in 16 bits
) AS
SELECT s.run_id, s.step, s.sequence_id, s.sample_id, p.i, l.layer, e.i,
       (instr(b.bytes, substr(r.p, 2 * (p.i * r.n_experts + e.i) + 1, 1)) - 1 +
        (instr(b.bytes, substr(r.p, 2 * (p.i * r.n_experts + e.i) + 2, 1)) - 1) * 256) / 65535.0
FROM _byte AS b
JOIN sequence AS s
JOIN sample AS m ON m.sample_id = s.sample_id
JOIN moe_layer AS l ON l.run_id = s.run_id
JOIN probability_block AS r ON r.block_id = s.sequence_id * 1024 + l.layer
JOIN _integer AS p ON p.i < m.n_tokens
JOIN _integer AS e ON e.i < r.n_experts;
