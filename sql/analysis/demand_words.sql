-- How many experts hold 90 % of the router's probability, at beginnings of words and at what continues them: a piece
-- begins a word when its text begins with a space; bytes and special tokens are neither.
-- :run (default: the newest), :step (default: the last of the probe).
WITH at AS (
    SELECT run_id, max(step) AS step
    FROM sequence
    WHERE run_id = coalesce(:run, (SELECT max(run_id) FROM run)) AND split = 'probe'
      AND step <= coalesce(:step, step)
    GROUP BY run_id),
p AS MATERIALIZED (
    SELECT layer, sequence_id, position, probability
    FROM probability
    WHERE run_id = (SELECT run_id FROM at) AND step = (SELECT step FROM at)),
ranked AS (
    SELECT layer, sequence_id, position,
           row_number() OVER likeliest AS rank,
           sum(probability) OVER likeliest AS mass,
           sum(probability) OVER (PARTITION BY layer, sequence_id, position) AS total
    FROM p
    WINDOW likeliest AS (PARTITION BY layer, sequence_id, position ORDER BY probability DESC
                         ROWS UNBOUNDED PRECEDING)),
used AS (
    SELECT layer, sequence_id, position, min(CASE WHEN mass >= 0.9 * total - 1e-9 THEN rank END) AS needed
    FROM ranked
    GROUP BY layer, sequence_id, position),
identity AS MATERIALIZED (
    SELECT sequence_id, position, token_id
    FROM token_loss
    WHERE run_id = (SELECT run_id FROM at) AND step = (SELECT step FROM at) AND split = 'probe'),
classed AS (
    SELECT used.layer, used.needed,
           CASE WHEN token.kind <> 'piece' THEN 'other' WHEN token.text LIKE ' %' THEN 'word start'
                ELSE 'continuation' END AS class
    FROM used
    JOIN identity USING (sequence_id, position)
    JOIN run ON run.run_id = (SELECT run_id FROM at)
    JOIN token ON token.vocabulary_id = run.vocabulary_id AND token.token_id = identity.token_id)
SELECT layer, class, avg(needed) AS concentration_90, count(*) AS tokens
FROM classed
GROUP BY layer, class
ORDER BY layer, class DESC;
