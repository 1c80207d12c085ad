-- How clear is a router's first choice over its second?
-- Mean difference of the two gates and the share of tokens where it is below a hundredth, over the run's last probe
-- pass.
WITH chosen AS (
    SELECT coalesce(:run, (SELECT run_id FROM run ORDER BY status = 'finished' DESC, run_id DESC LIMIT 1)) AS run_id
),
pass AS (
    SELECT c.run_id,
           (SELECT max(s.step) FROM sequence AS s WHERE s.run_id = c.run_id AND s.split = 'probe') AS step
    FROM chosen AS c
),
gates AS (
    SELECT r.layer, max(CASE WHEN r.slot = 0 THEN r.gate END) - max(CASE WHEN r.slot = 1 THEN r.gate END) AS margin
    FROM pass AS p
    JOIN routing AS r ON r.run_id = p.run_id AND r.step = p.step AND r.split = 'probe' AND r.slot < 2
    GROUP BY r.sequence_id, r.layer, r.position
)
SELECT layer, count(margin) AS tokens, avg(margin) AS mean_margin, avg(margin < 0.01) AS share_undecided
FROM gates
GROUP BY layer
ORDER BY layer;
