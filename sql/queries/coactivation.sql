-- Which pairs of experts are chosen for the same token more often than chance?
-- lift: times as often as if the first two choices were independent; layer :layer (unset: the first), over the
-- run's last probe pass.
WITH chosen AS (
    SELECT coalesce(:run, (SELECT run_id FROM run ORDER BY status = 'finished' DESC, run_id DESC LIMIT 1)) AS run_id
),
pass AS (
    SELECT c.run_id,
           (SELECT max(s.step) FROM sequence AS s WHERE s.run_id = c.run_id AND s.split = 'probe') AS step,
           coalesce(:layer, (SELECT min(l.layer) FROM moe_layer AS l WHERE l.run_id = c.run_id)) AS layer
    FROM chosen AS c
),
choice AS MATERIALIZED (
    SELECT p.layer, r.sequence_id * 65536 + r.position AS token, r.slot, r.expert
    FROM pass AS p
    JOIN routing AS r ON r.run_id = p.run_id AND r.step = p.step AND r.split = 'probe' AND r.layer = p.layer
                     AND r.slot < 2
),
pair AS (
    SELECT layer, first, second, count(*) AS n
    FROM (SELECT layer, max(CASE WHEN slot = 0 THEN expert END) AS first,
                 max(CASE WHEN slot = 1 THEN expert END) AS second
          FROM choice GROUP BY token)
    WHERE second IS NOT NULL
    GROUP BY first, second
)
SELECT layer, first, second, n AS tokens,
       1.0 * n * sum(n) OVER () / (sum(n) OVER (PARTITION BY first) * sum(n) OVER (PARTITION BY second)) AS lift
FROM pair
ORDER BY lift DESC, first, second;
