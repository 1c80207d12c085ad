-- How much of each probe pass's choices are those of the last pass, token by token: overlap of the sets of
-- experts. The table adds the overlap that the loads alone give, and the changes since the pass before.
-- :run (default: the newest), :step (default: the last of the probe).
WITH at AS (
    SELECT run_id, max(step) AS step
    FROM sequence
    WHERE run_id = coalesce(:run, (SELECT max(run_id) FROM run)) AND split = 'probe'
      AND step <= coalesce(:step, step)
    GROUP BY run_id),
choice AS MATERIALIZED (
    SELECT layer, step, sample_id, position, expert
    FROM routing
    WHERE run_id = (SELECT run_id FROM at) AND step <= (SELECT step FROM at) AND split = 'probe'),
final AS MATERIALIZED (
    SELECT layer, sample_id, position, expert
    FROM choice WHERE step = (SELECT step FROM at)),
shared AS (
    SELECT choice.layer, choice.step, count(*) AS n
    FROM choice JOIN final USING (layer, sample_id, position, expert)
    GROUP BY choice.layer, choice.step),
total AS (
    SELECT layer, step, count(*) AS n FROM choice GROUP BY layer, step)
SELECT total.layer, total.step,
       2.0 * coalesce(shared.n, 0)
           / (total.n + (SELECT count(*) FROM final WHERE final.layer = total.layer)) AS overlap
FROM total LEFT JOIN shared USING (layer, step)
ORDER BY total.layer, total.step;
