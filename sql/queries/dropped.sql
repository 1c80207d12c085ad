-- What share of the decisions was refused by capacity, layer by layer?
-- Training, in up to ten spans of whole windows of a hundred steps.
WITH chosen AS (
    SELECT coalesce(:run, (SELECT run_id FROM run ORDER BY status = 'finished' DESC, run_id DESC LIMIT 1)) AS run_id
),
span AS (
    SELECT c.run_id, (max(m.step) / 100 + 10) / 10 * 100 AS width
    FROM chosen AS c JOIN metric AS m ON m.run_id = c.run_id AND m.split = 'train'
)
SELECT e.layer, e.first_step / s.width * s.width AS first_step, sum(e.assignments) AS accepted, sum(e.dropped) AS dropped,
       1.0 * sum(e.dropped) / nullif(sum(e.assignments) + sum(e.dropped), 0) AS share_dropped
FROM span AS s
JOIN expert_load_window AS e ON e.run_id = s.run_id
GROUP BY e.layer, e.first_step / s.width
ORDER BY e.layer, first_step;
