-- Which experts serve the tokens whose continuation is hard to predict?
-- Mean loss of the tokens whose first choice an expert was, over the run's last probe pass.
WITH chosen AS (
    SELECT coalesce(:run, (SELECT run_id FROM run ORDER BY status = 'finished' DESC, run_id DESC LIMIT 1)) AS run_id
),
pass AS (
    SELECT c.run_id,
           (SELECT max(s.step) FROM sequence AS s WHERE s.run_id = c.run_id AND s.split = 'probe') AS step
    FROM chosen AS c
)
SELECT r.layer, r.expert, count(*) AS tokens, avg(r.loss) AS loss, avg(r.gate) AS mean_gate
FROM pass AS p
JOIN routing AS r ON r.run_id = p.run_id AND r.step = p.step AND r.split = 'probe' AND r.slot = 0
GROUP BY r.layer, r.expert
ORDER BY r.layer, loss DESC;
