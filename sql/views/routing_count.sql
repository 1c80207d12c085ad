-- Routing decisions to be counted: always read it as sum(decisions) and sum(gate_sum), since a faster engine
-- may hand out rows that stand for many decisions.
--     SELECT layer, expert, sum(decisions) AS decisions, sum(gate_sum) / sum(decisions) AS mean_gate
--     FROM routing_count
--     WHERE sequence_id = (SELECT max(block_id) / 1024 FROM routing_block) GROUP BY layer, expert;
CREATE VIEW routing_count (
    run_id,
    step,
    split,
    sequence_id,
    sample_id,
    document_id,
    domain_id,
    position,
    token_id,
    target_id,
    layer,
    slot,
    expert,
    dropped,
    decisions, -- how many decisions the row stands for
    gate_sum   -- of their gates
) AS
SELECT run_id, step, split, sequence_id, sample_id, document_id, domain_id, position, token_id, target_id,
       layer, slot, expert, dropped, 1, gate
FROM routing;
