-- The part of the router's probability that a token's likeliest expert holds, its two likeliest, and so on:
-- mean over tokens.
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
                         ROWS UNBOUNDED PRECEDING))
SELECT layer, rank, avg(mass / total) AS mass
FROM ranked
GROUP BY layer, rank
ORDER BY layer, rank;
