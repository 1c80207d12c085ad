-- How many experts hold 90 % of the router's probability, layer by layer: per token the smallest number whose
-- probabilities, largest first, add up to 0.9 of their sum; mean over tokens. Confidence, not need.
-- :run (default: the newest), :step (default: the last of the probe).
WITH at AS (
    SELECT run_id, max(step) AS step
    FROM sequence
    WHERE run_id = coalesce(:run, (SELECT max(run_id) FROM run)) AND split = 'probe'
      AND step <= coalesce(:step, step)
    GROUP BY run_id),
p AS MATERIALIZED (
    SELECT layer, sequence_id, position, expert, probability
    FROM probability
    WHERE run_id = (SELECT run_id FROM at) AND step = (SELECT step FROM at)),
ranked AS (
    SELECT layer, sequence_id, position, probability,
           row_number() OVER likeliest AS rank,
           sum(probability) OVER likeliest AS mass,
           sum(probability) OVER (PARTITION BY layer, sequence_id, position) AS total
    FROM p
    WINDOW likeliest AS (PARTITION BY layer, sequence_id, position ORDER BY probability DESC
                         ROWS UNBOUNDED PRECEDING)),
token AS (
    SELECT layer, min(CASE WHEN mass >= 0.9 * total - 1e-9 THEN rank END) AS needed,
           -sum(CASE WHEN probability > 0 THEN probability / total * ln(probability / total) ELSE 0 END)
               AS entropy
    FROM ranked
    GROUP BY layer, sequence_id, position)
SELECT layer, avg(entropy) AS router_entropy, avg(needed) AS concentration_90,
       avg(exp(entropy)) AS effective_by_token, count(*) AS tokens
FROM token
GROUP BY layer
ORDER BY layer;
