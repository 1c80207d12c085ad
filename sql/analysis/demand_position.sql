-- How many experts hold 90 % of the router's probability, by position in the sample.
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
    GROUP BY layer, sequence_id, position)
SELECT layer, position, avg(needed) AS concentration_90, count(*) AS tokens
FROM token
GROUP BY layer, position
ORDER BY layer, position;
