-- What comes next after the tokens that an expert serves, and how well is it predicted?
-- The five most frequent next tokens of every expert's first choices; layer :layer (unset: the last), over the
-- run's last probe pass.
WITH chosen AS (
    SELECT coalesce(:run, (SELECT run_id FROM run ORDER BY status = 'finished' DESC, run_id DESC LIMIT 1)) AS run_id
),
pass AS (
    SELECT c.run_id, r.vocabulary_id,
           (SELECT max(s.step) FROM sequence AS s WHERE s.run_id = c.run_id AND s.split = 'probe') AS step,
           coalesce(:layer, (SELECT max(l.layer) FROM moe_layer AS l WHERE l.run_id = c.run_id)) AS layer
    FROM chosen AS c JOIN run AS r USING (run_id)
),
followed AS (
    SELECT p.vocabulary_id, r.layer, r.expert, r.target_id, count(*) AS n, avg(r.loss) AS loss
    FROM pass AS p
    JOIN routing AS r ON r.run_id = p.run_id AND r.step = p.step AND r.split = 'probe' AND r.layer = p.layer
                     AND r.slot = 0
    GROUP BY r.layer, r.expert, r.target_id
),
ranked AS (
    SELECT *, row_number() OVER (PARTITION BY expert ORDER BY n DESC, target_id) AS place FROM followed
)
SELECT r.layer, r.expert, r.place, t.text AS next_token, r.n AS times, r.loss
FROM ranked AS r
LEFT JOIN token AS t ON t.vocabulary_id = r.vocabulary_id AND t.token_id = r.target_id
WHERE r.place <= 5
ORDER BY r.expert, r.place;
