-- How much every expert was used in every logged step, exact, experts that were never chosen included.
--     SELECT layer, expert, sum(assignments) AS assignments, sum(dropped) AS dropped FROM expert_load
--     WHERE run_id = (SELECT min(run_id) FROM moe_layer) AND split = 'train' AND domain_id IS NULL
--     GROUP BY layer, expert;
CREATE VIEW expert_load (
    run_id,
    step,
    split,
    domain_id,      -- NULL: all domains together
    layer,
    expert,
    assignments,    -- accepted decisions
    dropped,        -- decisions refused by capacity
    gate_sum,       -- of the accepted decisions' gates; NULL: not finite
    probability_sum -- of the router's probability over all tokens, chosen or not; NULL: not finite
) AS
SELECT b.run_id, b.step, b.split, nullif(b.domain_id, 0), b.layer, e.key,
       e.value ->> 0, e.value ->> 1, CAST(e.value ->> 2 AS REAL), CAST(e.value ->> 3 AS REAL)
FROM load_block AS b, json_each(b.experts) AS e;
