-- Which experts got no token in the last hundred training steps?
WITH chosen AS (
    SELECT coalesce(:run, (SELECT run_id FROM run ORDER BY status = 'finished' DESC, run_id DESC LIMIT 1)) AS run_id
),
span AS (
    SELECT c.run_id, max(m.step) AS last
    FROM chosen AS c JOIN metric AS m ON m.run_id = c.run_id AND m.split = 'train'
),
load AS (
    SELECT e.layer, e.expert, sum(e.assignments) AS assignments, sum(e.dropped) AS dropped,
           sum(e.probability_sum) AS probability_sum
    FROM span AS s
    JOIN expert_load AS e ON e.run_id = s.run_id AND e.split = 'train' AND e.domain_id IS NULL
                         AND e.step BETWEEN s.last - 99 AND s.last
    GROUP BY e.layer, e.expert
)
SELECT x.layer, x.expert, coalesce(l.assignments, 0) AS assignments, l.dropped, l.probability_sum
FROM chosen AS c
JOIN expert AS x ON x.run_id = c.run_id AND x.kind = 'routed'
LEFT JOIN load AS l ON l.layer = x.layer AND l.expert = x.expert
WHERE coalesce(l.assignments, 0) = 0
ORDER BY x.layer, x.expert;
