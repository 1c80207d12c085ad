-- How many tokens change their first choice from one probe pass to the next?
-- share: of the probe's tokens, layer by layer; since: the pass before.
WITH chosen AS (
    SELECT coalesce(:run, (SELECT run_id FROM run ORDER BY status = 'finished' DESC, run_id DESC LIMIT 1)) AS run_id
),
pass AS (
    SELECT step, lag(step) OVER (ORDER BY step) AS since
    FROM (SELECT DISTINCT s.step FROM chosen AS c JOIN sequence AS s ON s.run_id = c.run_id AND s.split = 'probe')
),
choice AS MATERIALIZED (
    SELECT r.step, r.layer, r.sample_id * 65536 + r.position AS token, r.expert
    FROM chosen AS c JOIN routing AS r ON r.run_id = c.run_id AND r.split = 'probe' AND r.slot = 0
)
SELECT a.layer, p.since, p.step, count(*) AS tokens, avg(a.expert <> b.expert) AS share_changed
FROM pass AS p
JOIN choice AS a ON a.step = p.step
JOIN choice AS b ON b.step = p.since AND b.layer = a.layer AND b.token = a.token
GROUP BY a.layer, p.step
ORDER BY a.layer, p.step;
