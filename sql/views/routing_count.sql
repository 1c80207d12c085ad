-- Routing decisions to be counted: always read it as sum(decisions) and sum(gate_sum), since a faster engine
-- may hand out rows that stand for many decisions.
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
