-- Which expert serves which language (or another label, by :key), compared with its share of all decisions?
-- lift: how many times as often as if experts did not care. Over the run's last probe pass.
WITH chosen AS (
    SELECT coalesce(:run, (SELECT run_id FROM run ORDER BY status = 'finished' DESC, run_id DESC LIMIT 1)) AS run_id
),
pass AS (
    SELECT c.run_id,
           (SELECT max(s.step) FROM sequence AS s WHERE s.run_id = c.run_id AND s.split = 'probe') AS step
    FROM chosen AS c
),
decided AS (
    SELECT c.layer, c.expert, c.document_id, sum(c.decisions) AS n
    FROM pass AS p
    JOIN routing_count AS c ON c.run_id = p.run_id AND c.step = p.step AND c.split = 'probe'
    GROUP BY c.layer, c.expert, c.document_id
),
labelled AS (
    SELECT d.layer, d.expert, l.value AS label, sum(d.n) AS n
    FROM decided AS d
    JOIN document_label AS l ON l.document_id = d.document_id AND l.key = coalesce(:key, 'language')
    GROUP BY d.layer, d.expert, l.value
)
SELECT layer, expert, label, n AS decisions,
       1.0 * n / sum(n) OVER (PARTITION BY layer, label) AS share_of_label,
       1.0 * n * sum(n) OVER (PARTITION BY layer) /
           (sum(n) OVER (PARTITION BY layer, label) * sum(n) OVER (PARTITION BY layer, expert)) AS lift
FROM labelled
ORDER BY layer, expert, decisions DESC;
