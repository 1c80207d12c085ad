-- How sure are the experts of each domain's tokens?
-- Mean gate of each expert by domain, over the run's last probe pass.
WITH chosen AS (
    SELECT coalesce(:run, (SELECT run_id FROM run ORDER BY status = 'finished' DESC, run_id DESC LIMIT 1)) AS run_id
),
pass AS (
    SELECT c.run_id,
           (SELECT max(s.step) FROM sequence AS s WHERE s.run_id = c.run_id AND s.split = 'probe') AS step
    FROM chosen AS c
)
SELECT d.name AS domain, c.layer, c.expert, sum(c.decisions) AS decisions,
       round(sum(c.gate_sum) / sum(c.decisions), 9) AS mean_gate
FROM pass AS p
JOIN routing_count AS c ON c.run_id = p.run_id AND c.step = p.step AND c.split = 'probe'
JOIN domain AS d ON d.domain_id = c.domain_id
GROUP BY d.name, c.layer, c.expert
ORDER BY d.name, c.layer, c.expert;
