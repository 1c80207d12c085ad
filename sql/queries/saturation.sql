-- How much of the final routing was there already at each probe step?
-- share: of the decisions of the last probe pass that were made at that step, too; layer by layer. chance: what the
-- loads of both steps alone would give.
WITH chosen AS (
    SELECT coalesce(:run, (SELECT run_id FROM run ORDER BY status = 'finished' DESC, run_id DESC LIMIT 1)) AS run_id
),
pass AS (
    SELECT c.run_id,
           (SELECT max(s.step) FROM sequence AS s WHERE s.run_id = c.run_id AND s.split = 'probe') AS step
    FROM chosen AS c
),
final AS MATERIALIZED (
    SELECT r.layer, r.sample_id * 65536 + r.position AS token, r.expert
    FROM pass AS p JOIN routing AS r ON r.run_id = p.run_id AND r.step = p.step AND r.split = 'probe'
),
earlier AS MATERIALIZED (
    SELECT r.step, r.layer, r.sample_id * 65536 + r.position AS token, r.expert
    FROM pass AS p JOIN routing AS r ON r.run_id = p.run_id AND r.split = 'probe'
),
same AS (
    SELECT e.step, e.layer, count(f.token) AS same, count(*) AS decisions
    FROM earlier AS e
    LEFT JOIN final AS f ON f.layer = e.layer AND f.token = e.token AND f.expert = e.expert
    GROUP BY e.step, e.layer
),
load AS (
    SELECT step, layer, expert, 1.0 * count(*) AS n FROM earlier GROUP BY step, layer, expert
),
chance AS (
    SELECT l.step, l.layer, sum(l.n * f.n) AS pairs
    FROM load AS l JOIN pass AS p JOIN load AS f ON f.step = p.step AND f.layer = l.layer AND f.expert = l.expert
    GROUP BY l.step, l.layer
),
tokens AS (
    SELECT layer, count(DISTINCT token) AS n FROM final GROUP BY layer
)
SELECT s.layer, s.step, s.decisions, 1.0 * s.same / s.decisions AS share, c.pairs / t.n / s.decisions AS chance
FROM same AS s JOIN chance AS c USING (step, layer) JOIN tokens AS t USING (layer)
ORDER BY s.layer, s.step;
