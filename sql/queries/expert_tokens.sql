-- Which tokens does an expert serve most, and what share of each token's decisions does it get?
-- The ten most frequent of every expert in layer :layer (unset: the first), over the run's last probe pass.
WITH chosen AS (
    SELECT coalesce(:run, (SELECT run_id FROM run ORDER BY status = 'finished' DESC, run_id DESC LIMIT 1)) AS run_id
),
pass AS (
    SELECT c.run_id, r.vocabulary_id,
           (SELECT max(s.step) FROM sequence AS s WHERE s.run_id = c.run_id AND s.split = 'probe') AS step,
           coalesce(:layer, (SELECT min(l.layer) FROM moe_layer AS l WHERE l.run_id = c.run_id)) AS layer
    FROM chosen AS c JOIN run AS r USING (run_id)
),
served AS (
    SELECT p.vocabulary_id, c.layer, c.expert, c.token_id, sum(c.decisions) AS decisions
    FROM pass AS p
    JOIN routing_count AS c ON c.run_id = p.run_id AND c.step = p.step AND c.split = 'probe' AND c.layer = p.layer
    GROUP BY c.layer, c.expert, c.token_id
),
ranked AS (
    SELECT *, 1.0 * decisions / sum(decisions) OVER (PARTITION BY token_id) AS share_of_token,
           row_number() OVER (PARTITION BY expert ORDER BY decisions DESC, token_id) AS place
    FROM served
)
SELECT r.layer, r.expert, r.place, t.text AS token, r.decisions, r.share_of_token
FROM ranked AS r
LEFT JOIN token AS t ON t.vocabulary_id = r.vocabulary_id AND t.token_id = r.token_id
WHERE r.place <= 10
ORDER BY r.expert, r.place;
