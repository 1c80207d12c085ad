-- Over how many experts are the decisions on one token spread?
-- The forty most frequent tokens in layer :layer (unset: the last); effective: exp(entropy) of the token's decisions;
-- favourite: the expert with the largest share. Over the run's last probe pass.
WITH chosen AS (
    SELECT coalesce(:run, (SELECT run_id FROM run ORDER BY status = 'finished' DESC, run_id DESC LIMIT 1)) AS run_id
),
pass AS (
    SELECT c.run_id, r.vocabulary_id,
           (SELECT max(s.step) FROM sequence AS s WHERE s.run_id = c.run_id AND s.split = 'probe') AS step,
           coalesce(:layer, (SELECT max(l.layer) FROM moe_layer AS l WHERE l.run_id = c.run_id)) AS layer
    FROM chosen AS c JOIN run AS r USING (run_id)
),
served AS (
    SELECT p.vocabulary_id, c.layer, c.token_id, c.expert, sum(c.decisions) AS n
    FROM pass AS p
    JOIN routing_count AS c ON c.run_id = p.run_id AND c.step = p.step AND c.split = 'probe' AND c.layer = p.layer
    GROUP BY c.token_id, c.expert
),
share AS (
    SELECT *, 1.0 * n / sum(n) OVER (PARTITION BY token_id) AS p,
           row_number() OVER (PARTITION BY token_id ORDER BY n DESC, expert) AS place
    FROM served
)
SELECT s.layer, t.text AS token, sum(s.n) AS decisions, count(*) AS experts, exp(-sum(s.p * ln(s.p))) AS effective,
       max(CASE WHEN s.place = 1 THEN s.expert END) AS favourite, max(s.p) AS share_of_favourite
FROM share AS s
LEFT JOIN token AS t ON t.vocabulary_id = s.vocabulary_id AND t.token_id = s.token_id
GROUP BY s.token_id
ORDER BY decisions DESC, s.token_id
LIMIT 40;
