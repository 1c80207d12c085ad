-- The loss of every logged prediction.
--     SELECT position, text, loss FROM token_loss JOIN run USING (run_id)
--     JOIN token ON token.vocabulary_id = run.vocabulary_id AND token.token_id = target_id
--     WHERE sequence_id = (SELECT max(sequence_id) FROM sequence WHERE split = 'probe') ORDER BY loss DESC LIMIT 10;
CREATE VIEW token_loss (
    run_id,
    step,
    split,
    sequence_id,
    sample_id,
    document_id,
    domain_id,
    position,  -- within the sequence, from 0
    token_id,  -- the input
    target_id, -- what is to be predicted: the next token
    loss       -- -log P(target), nats, to 1/1024; NULL where it was not kept, not finite or 64 and more
) AS
SELECT s.run_id, s.step, s.split, s.sequence_id, s.sample_id, m.document_id, d.domain_id, p.i,
       CASE length(m.tokens) / (m.n_tokens + 1)
       WHEN 2 THEN instr(b.bytes, substr(m.tokens, 2 * p.i + 1, 1)) - 1 +
                   (instr(b.bytes, substr(m.tokens, 2 * p.i + 2, 1)) - 1) * 256
       ELSE instr(b.bytes, substr(m.tokens, 4 * p.i + 1, 1)) - 1 +
            (instr(b.bytes, substr(m.tokens, 4 * p.i + 2, 1)) - 1) * 256 +
            (instr(b.bytes, substr(m.tokens, 4 * p.i + 3, 1)) - 1) * 65536 +
            (instr(b.bytes, substr(m.tokens, 4 * p.i + 4, 1)) - 1) * 16777216
       END,
       CASE length(m.tokens) / (m.n_tokens + 1)
       WHEN 2 THEN instr(b.bytes, substr(m.tokens, 2 * p.i + 3, 1)) - 1 +
                   (instr(b.bytes, substr(m.tokens, 2 * p.i + 4, 1)) - 1) * 256
       ELSE instr(b.bytes, substr(m.tokens, 4 * p.i + 5, 1)) - 1 +
            (instr(b.bytes, substr(m.tokens, 4 * p.i + 6, 1)) - 1) * 256 +
            (instr(b.bytes, substr(m.tokens, 4 * p.i + 7, 1)) - 1) * 65536 +
            (instr(b.bytes, substr(m.tokens, 4 * p.i + 8, 1)) - 1) * 16777216
       END,
       nullif(instr(b.bytes, substr(s.losses, 2 * p.i + 1, 1)) - 1 +
              (instr(b.bytes, substr(s.losses, 2 * p.i + 2, 1)) - 1) * 256, 65535) / 1024.0
FROM _byte AS b
JOIN sequence AS s
JOIN sample AS m ON m.sample_id = s.sample_id
JOIN document AS d ON d.document_id = m.document_id
JOIN _integer AS p ON p.i < m.n_tokens;
