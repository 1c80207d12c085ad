-- How many experts hold 90 % of the router's probability, by how often the token occurs in training's text.
-- :run (default: the newest), :step (default: the last of the probe).
WITH at AS (
    SELECT run_id, max(step) AS step
    FROM sequence
    WHERE run_id = coalesce(:run, (SELECT max(run_id) FROM run)) AND split = 'probe'
      AND step <= coalesce(:step, step)
    GROUP BY run_id),
p AS MATERIALIZED (
    SELECT layer, sequence_id, sample_id, position, probability
    FROM probability
    WHERE run_id = (SELECT run_id FROM at) AND step = (SELECT step FROM at)),
ranked AS (
    SELECT layer, sequence_id, sample_id, position,
           row_number() OVER likeliest AS rank,
           sum(probability) OVER likeliest AS mass,
           sum(probability) OVER (PARTITION BY layer, sequence_id, position) AS total
    FROM p
    WINDOW likeliest AS (PARTITION BY layer, sequence_id, position ORDER BY probability DESC
                         ROWS UNBOUNDED PRECEDING)),
token AS (
    SELECT layer, sequence_id, sample_id, position,
           min(CASE WHEN mass >= 0.9 * total - 1e-9 THEN rank END) AS needed
    FROM ranked
    GROUP BY layer, sequence_id, position),
identity AS MATERIALIZED (
    SELECT sequence_id, position, token_id
    FROM token_loss
    WHERE run_id = (SELECT run_id FROM at) AND step = (SELECT step FROM at) AND split = 'probe'),
counted AS (
    SELECT token.layer, token.needed, coalesce(token_count.train_count, 0) AS n
    FROM token
    JOIN identity USING (sequence_id, position)
    JOIN run ON run.run_id = (SELECT run_id FROM at)
    LEFT JOIN token_count
      ON token_count.corpus_id = run.corpus_id AND token_count.vocabulary_id = run.vocabulary_id
      AND token_count.token_id = identity.token_id)
SELECT layer,
       CASE WHEN n = 0 THEN '0' WHEN n < 10 THEN '1-9' WHEN n < 100 THEN '10-99' WHEN n < 1000 THEN '100-999'
            WHEN n < 10000 THEN '1000-9999' WHEN n < 100000 THEN '10000-99999' ELSE '100000+' END AS bucket,
       avg(needed) AS concentration_90, count(*) AS tokens
FROM counted
GROUP BY layer, bucket
ORDER BY layer, min(n);
