-- Do experts prefer the beginning of a sequence?
-- Share of each expert's decisions by position; over the run's last probe pass.
WITH chosen AS (
    SELECT coalesce(:run, (SELECT run_id FROM run ORDER BY status = 'finished' DESC, run_id DESC LIMIT 1)) AS run_id
),
pass AS (
    SELECT c.run_id,
           (SELECT max(s.step) FROM sequence AS s WHERE s.run_id = c.run_id AND s.split = 'probe') AS step
    FROM chosen AS c
),
placed AS (
    SELECT c.layer, c.expert,
           CASE WHEN c.position = 0 THEN '0' WHEN c.position < 8 THEN '1-7' WHEN c.position < 32 THEN '8-31'
                WHEN c.position < 128 THEN '32-127' ELSE '128-' END AS positions,
           min(c.position) AS first, sum(c.decisions) AS n
    FROM pass AS p
    JOIN routing_count AS c ON c.run_id = p.run_id AND c.step = p.step AND c.split = 'probe'
    GROUP BY c.layer, c.expert, positions
)
SELECT layer, expert, positions, n AS decisions,
       1.0 * n / sum(n) OVER (PARTITION BY layer, positions) AS share_of_positions
FROM placed
ORDER BY layer, expert, first;
