-- Pairs of experts that tokens choose together: P(b | a), all pairs whatever their ranks. The table adds pairs
-- that never meet, and the lift over what the experts' loads give when they ignore each other.
-- :run (default: the newest), :step (default: the last of the probe).
WITH at AS (
    SELECT run_id, max(step) AS step
    FROM sequence
    WHERE run_id = coalesce(:run, (SELECT max(run_id) FROM run)) AND split = 'probe'
      AND step <= coalesce(:step, step)
    GROUP BY run_id),
choice AS MATERIALIZED (
    SELECT layer, sequence_id, position, expert
    FROM routing
    WHERE run_id = (SELECT run_id FROM at) AND step = (SELECT step FROM at) AND split = 'probe'),
pair AS (
    SELECT a.layer, a.expert AS expert_a, b.expert AS expert_b, count(*) AS tokens
    FROM choice AS a JOIN choice AS b USING (layer, sequence_id, position)
    GROUP BY a.layer, a.expert, b.expert),
alone AS (
    SELECT layer, expert_a, tokens FROM pair WHERE expert_a = expert_b)
SELECT pair.layer, pair.expert_a, pair.expert_b, 1.0 * pair.tokens / alone.tokens AS probability, pair.tokens
FROM pair JOIN alone USING (layer, expert_a)
WHERE pair.expert_a <> pair.expert_b
ORDER BY pair.layer, pair.expert_a, pair.expert_b;
