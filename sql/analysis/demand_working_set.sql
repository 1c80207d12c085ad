-- How many experts take 90 % of a layer's decisions on the probe, the busiest first.
-- :run (default: the newest), :step (default: the last of the probe).
WITH at AS (
    SELECT run_id, max(step) AS step
    FROM sequence
    WHERE run_id = coalesce(:run, (SELECT max(run_id) FROM run)) AND split = 'probe'
      AND step <= coalesce(:step, step)
    GROUP BY run_id),
load AS (
    SELECT layer, expert, sum(decisions) AS n
    FROM routing_count
    WHERE run_id = (SELECT run_id FROM at) AND step = (SELECT step FROM at) AND split = 'probe'
    GROUP BY layer, expert),
ranked AS (
    SELECT layer,
           row_number() OVER busiest AS rank,
           1.0 * sum(n) OVER busiest / sum(n) OVER (PARTITION BY layer) AS share
    FROM load
    WINDOW busiest AS (PARTITION BY layer ORDER BY n DESC ROWS UNBOUNDED PRECEDING))
SELECT moe_layer.layer, min(CASE WHEN share >= 0.9 - 1e-9 THEN rank END) AS experts_for_90_percent_of_load,
       moe_layer.n_experts AS experts, moe_layer.n_experts - count(*) AS unused
FROM at JOIN moe_layer USING (run_id) JOIN ranked USING (layer)
GROUP BY moe_layer.layer
ORDER BY moe_layer.layer;
