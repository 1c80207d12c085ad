-- One row per routing decision: which expert a token was sent to, in which layer, with what gate.
-- Blobs are decoded byte by byte: instr(all 256 bytes, substr(blob, i, 1)) - 1 is the value of byte i - 1.
--     SELECT position, layer, slot, expert, gate FROM routing
--     WHERE sequence_id = (SELECT max(block_id) / 1024 FROM routing_block) ORDER BY position, layer, slot LIMIT 12;
CREATE VIEW routing (
    run_id,
    step,        -- optimiser updates completed before this forward pass
    split,       -- train, valid, probe, routed, seen
    sequence_id,
    sample_id,
    document_id,
    domain_id,
    position,    -- within the sequence, from 0
    token_id,    -- the input, which is what was routed
    target_id,   -- what is to be predicted: the next token
    loss,        -- of that prediction, nats; NULL where it was not kept
    layer,
    slot,        -- 0: the router's first choice
    expert,
    gate,        -- the router's raw probability or score; NULL: unknown
    dropped      -- 1: refused by capacity
) AS
SELECT t.run_id, t.step, t.split, t.sequence_id, t.sample_id, t.document_id, t.domain_id, t.position,
       CASE t.token_width
       WHEN 2 THEN instr(t.bytes, substr(t.tokens, 2 * t.position + 1, 1)) - 1 +
                   (instr(t.bytes, substr(t.tokens, 2 * t.position + 2, 1)) - 1) * 256
       ELSE instr(t.bytes, substr(t.tokens, 4 * t.position + 1, 1)) - 1 +
            (instr(t.bytes, substr(t.tokens, 4 * t.position + 2, 1)) - 1) * 256 +
            (instr(t.bytes, substr(t.tokens, 4 * t.position + 3, 1)) - 1) * 65536 +
            (instr(t.bytes, substr(t.tokens, 4 * t.position + 4, 1)) - 1) * 16777216
       END,
       CASE t.token_width
       WHEN 2 THEN instr(t.bytes, substr(t.tokens, 2 * t.position + 3, 1)) - 1 +
                   (instr(t.bytes, substr(t.tokens, 2 * t.position + 4, 1)) - 1) * 256
       ELSE instr(t.bytes, substr(t.tokens, 4 * t.position + 5, 1)) - 1 +
            (instr(t.bytes, substr(t.tokens, 4 * t.position + 6, 1)) - 1) * 256 +
            (instr(t.bytes, substr(t.tokens, 4 * t.position + 7, 1)) - 1) * 65536 +
            (instr(t.bytes, substr(t.tokens, 4 * t.position + 8, 1)) - 1) * 16777216
       END,
       nullif(instr(t.bytes, substr(t.losses, 2 * t.position + 1, 1)) - 1 +
              (instr(t.bytes, substr(t.losses, 2 * t.position + 2, 1)) - 1) * 256, 65535) / 1024.0,
       t.layer, c.i,
       CASE
       WHEN t.codec IN ('e8g8', 'e8g16') THEN instr(t.bytes, substr(t.experts, t.first + c.i + 1, 1)) - 1
       WHEN t.codec IN ('e16g8', 'e16g16')
       THEN instr(t.bytes, substr(t.experts, 2 * (t.first + c.i) + 1, 1)) - 1 +
            (instr(t.bytes, substr(t.experts, 2 * (t.first + c.i) + 2, 1)) - 1) * 256
       ELSE c.i -- a8, a16: all experts in order
       END,
       CASE
       WHEN t.codec IN ('e8g8', 'e16g8', 'a8')
       THEN t.scale / 16384.0 * (instr(t.bytes, substr(t.gates, t.first + c.i + 1, 1)) - 1) / 255
       ELSE t.scale / 16384.0 * (instr(t.bytes, substr(t.gates, 2 * (t.first + c.i) + 1, 1)) - 1 +
                       (instr(t.bytes, substr(t.gates, 2 * (t.first + c.i) + 2, 1)) - 1) * 256) / 65535
       END,
       CASE WHEN t.dropped IS NULL THEN 0
       ELSE instr(t.bytes, substr(t.dropped, (t.first + c.i) / 8 + 1, 1)) - 1 >> (t.first + c.i) % 8 & 1
       END
FROM (
    -- A row a token: its decisions are number `first` to `first + count - 1` of the block.
    SELECT s.run_id, s.step, s.split, s.sequence_id, s.sample_id, m.document_id, d.domain_id, l.layer,
           p.i AS position, length(m.tokens) / (m.n_tokens + 1) AS token_width, m.tokens, s.losses,
           r.codec, r.scale, r.experts, r.gates, r.dropped, b.bytes,
           CASE WHEN r.k IS NOT NULL THEN p.i * r.k
           ELSE instr(b.bytes, substr(r.offsets, 2 * p.i + 1, 1)) - 1 +
                (instr(b.bytes, substr(r.offsets, 2 * p.i + 2, 1)) - 1) * 256
           END AS first,
           CASE WHEN r.k IS NOT NULL THEN r.k
           ELSE instr(b.bytes, substr(r.offsets, 2 * p.i + 3, 1)) -
                instr(b.bytes, substr(r.offsets, 2 * p.i + 1, 1)) +
                (instr(b.bytes, substr(r.offsets, 2 * p.i + 4, 1)) -
                 instr(b.bytes, substr(r.offsets, 2 * p.i + 2, 1))) * 256
           END AS count
    FROM _byte AS b
    JOIN sequence AS s
    JOIN sample AS m ON m.sample_id = s.sample_id
    JOIN document AS d ON d.document_id = m.document_id
    JOIN moe_layer AS l ON l.run_id = s.run_id
    JOIN routing_block AS r ON r.block_id = s.sequence_id * 1024 + l.layer
    JOIN _integer AS p ON p.i < m.n_tokens
) AS t
JOIN _integer AS c ON c.i < t.count;
