-- Where the tokens of an expert go in the next MoE layer: P(next expert | expert), every choice of the one layer
-- with every one of the next. The table adds paths that no token takes, and the lift over independent layers.
-- :run (default: the newest), :step (default: the last of the probe).
WITH at AS (
    SELECT run_id, max(step) AS step
    FROM sequence
    WHERE run_id = coalesce(:run, (SELECT max(run_id) FROM run)) AND split = 'probe'
      AND step <= coalesce(:step, step)
    GROUP BY run_id),
choice AS MATERIALIZED (
    SELECT layer, (SELECT min(later.layer) FROM moe_layer AS later
                   WHERE later.run_id = at.run_id AND later.layer > routing.layer) AS next_layer,
           sequence_id, position, expert
    FROM at JOIN routing USING (run_id, step)
    WHERE routing.run_id = (SELECT run_id FROM at) AND routing.step = (SELECT step FROM at)
      AND routing.split = 'probe'),
path AS (
    SELECT one.layer, one.expert, one.next_layer, next.expert AS next_expert, count(*) AS tokens
    FROM choice AS one
    JOIN choice AS next
      ON next.layer = one.next_layer AND next.sequence_id = one.sequence_id AND next.position = one.position
    GROUP BY one.layer, one.expert, next.expert),
alone AS (
    SELECT layer, expert, count(*) AS tokens FROM choice GROUP BY layer, expert)
SELECT path.layer, path.expert, path.next_layer, path.next_expert,
       1.0 * path.tokens / alone.tokens AS probability, path.tokens
FROM path JOIN alone USING (layer, expert)
ORDER BY path.layer, path.expert, path.next_expert;
