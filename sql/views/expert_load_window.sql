-- Loads of training summed over windows of a hundred steps, from 0 on: what a question about a whole run should read.
--     SELECT first_step, layer, sum(assignments > 0) AS experts_in_use FROM expert_load_window
--     WHERE run_id = (SELECT min(run_id) FROM moe_layer) GROUP BY first_step, layer;
CREATE VIEW expert_load_window (
    run_id,
    first_step,
    last_step,      -- of the newest window, the last that is there
    layer,
    expert,
    assignments,    -- accepted decisions
    dropped,        -- decisions refused by capacity
    gate_sum,       -- of the accepted decisions' gates; NULL: not finite
    probability_sum -- of the router's probability over all tokens, chosen or not; NULL: not finite
) AS
SELECT b.run_id, b.first_step, b.last_step, b.layer, e.key,
       e.value ->> 0, e.value ->> 1, CAST(e.value ->> 2 AS REAL), CAST(e.value ->> 3 AS REAL)
FROM load_window_block AS b, json_each(b.experts) AS e
UNION ALL -- steps that no window has been closed over, while a run goes on; CROSS: the runs first, not every block
SELECT l.run_id, r.next_step, max(l.step), l.layer, l.expert, sum(l.assignments), sum(l.dropped),
       CASE WHEN count(l.gate_sum) = count(*) THEN sum(l.gate_sum) END,
       CASE WHEN count(l.probability_sum) = count(*) THEN sum(l.probability_sum) END
FROM (SELECT run.run_id, coalesce((SELECT max(w.last_step) + 1 FROM load_window_block AS w
                                   WHERE w.run_id = run.run_id), 0) AS next_step
      FROM run) AS r
CROSS JOIN expert_load AS l ON l.run_id = r.run_id AND l.step >= r.next_step AND l.split = 'train' AND l.domain_id IS NULL
GROUP BY l.run_id, l.layer, l.expert;
