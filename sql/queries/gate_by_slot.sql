-- How sure are the routers of their first, second, ... choice?
-- gate: the router's raw probability or score, before renormalisation; over the run's last probe pass.
WITH chosen AS (
    SELECT coalesce(:run, (SELECT run_id FROM run ORDER BY status = 'finished' DESC, run_id DESC LIMIT 1)) AS run_id
),
pass AS (
    SELECT c.run_id,
           (SELECT max(s.step) FROM sequence AS s WHERE s.run_id = c.run_id AND s.split = 'probe') AS step
    FROM chosen AS c
)
SELECT r.layer, r.slot, count(*) AS decisions, avg(r.gate) AS mean_gate, min(r.gate) AS least, max(r.gate) AS greatest,
       avg(r.gate < 0.1) AS share_below_a_tenth
FROM pass AS p
JOIN routing AS r ON r.run_id = p.run_id AND r.step = p.step AND r.split = 'probe'
GROUP BY r.layer, r.slot
ORDER BY r.layer, r.slot;
