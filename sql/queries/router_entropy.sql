-- How undecided are the routers over training?
-- The entropy of a token's probability vector in nats, mean over tokens; each split at its own steps.
WITH chosen AS (
    SELECT coalesce(:run, (SELECT run_id FROM run ORDER BY status = 'finished' DESC, run_id DESC LIMIT 1)) AS run_id
),
span AS (
    SELECT c.run_id, (max(m.step) + 40) / 40 AS width
    FROM chosen AS c JOIN metric AS m ON m.run_id = c.run_id
)
SELECT m.split, m.layer, m.step / s.width * s.width AS first_step, avg(m.value) AS router_entropy,
       avg(m.value) / ln(l.n_experts) AS normalized
FROM span AS s
JOIN layer_metric AS m ON m.run_id = s.run_id AND m.name = 'router_entropy'
JOIN moe_layer AS l ON l.run_id = m.run_id AND l.layer = m.layer
GROUP BY m.split, m.layer, first_step
ORDER BY m.split, m.layer, first_step;
