-- What each window of a stream showed, a window being a training step that logged both: its mean loss, and how much
-- every expert was used, refused decisions included; where every token goes to all of several, by the sum of its gates.
-- :runs is a JSON array of run ids; without it, all runs. :from: the first step; :layer: of one block alone.
WITH wanted AS (
  SELECT key AS position, value AS run_id
  FROM json_each(coalesce(:runs, (SELECT json_group_array(run_id) FROM run)))
)
SELECT w.position, e.step, m.value AS loss, e.layer, e.expert,
       CASE WHEN l.k = l.n_experts AND l.k > 1 THEN e.gate_sum ELSE e.assignments + e.dropped END AS load
FROM wanted AS w
JOIN metric AS m ON m.run_id = w.run_id AND m.split = 'train' AND m.name = 'loss'
JOIN expert_load AS e ON e.run_id = m.run_id AND e.step = m.step AND e.split = 'train'
JOIN moe_layer AS l ON l.run_id = e.run_id AND l.layer = e.layer
WHERE e.domain_id IS NULL AND m.step >= coalesce(:from, 0) AND e.layer = coalesce(:layer, e.layer)
ORDER BY w.position, e.step, e.layer, e.expert;
