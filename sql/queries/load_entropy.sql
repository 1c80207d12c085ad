-- How evenly does each layer use its experts over training?
-- Up to forty spans of whole windows of a hundred steps; normalized: 1 is uniform, 0 is all on one expert; effective:
-- exp(entropy).
WITH chosen AS (
    SELECT coalesce(:run, (SELECT run_id FROM run ORDER BY status = 'finished' DESC, run_id DESC LIMIT 1)) AS run_id
),
span AS (
    SELECT c.run_id, (max(m.step) / 100 + 40) / 40 * 100 AS width
    FROM chosen AS c JOIN metric AS m ON m.run_id = c.run_id AND m.split = 'train'
),
load AS (
    SELECT e.layer, e.first_step / s.width * s.width AS first_step, e.expert, 1.0 * sum(e.assignments) AS n
    FROM span AS s
    JOIN expert_load_window AS e ON e.run_id = s.run_id
    GROUP BY e.layer, e.first_step / s.width, e.expert
),
share AS (
    SELECT layer, first_step, n / nullif(sum(n) OVER (PARTITION BY layer, first_step), 0) AS p FROM load
),
entropy AS (
    SELECT layer, first_step, count(*) AS experts, -sum(CASE WHEN p > 0 THEN p * ln(p) ELSE 0 END) AS entropy,
           max(p) AS top_share
    FROM share GROUP BY layer, first_step
)
SELECT layer, first_step, entropy, entropy / ln(experts) AS normalized, exp(entropy) AS effective, top_share
FROM entropy
ORDER BY layer, first_step;
