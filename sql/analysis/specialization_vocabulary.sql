-- Each token's favourite first choice and its share, averaged over tokens: vocabulary specialisation as it is
-- usually printed (column `official` of the table). Rare tokens push it up, since one seen once scores 1; the
-- table's `specialization` finds the favourite on one half of the documents and judges it on the other.
-- :run (default: the newest), :step (default: the last of the probe).
WITH at AS (
    SELECT run_id, max(step) AS step
    FROM sequence
    WHERE run_id = coalesce(:run, (SELECT max(run_id) FROM run)) AND split = 'probe'
      AND step <= coalesce(:step, step)
    GROUP BY run_id),
first_choice AS (
    SELECT layer, token_id, target_id, expert, sum(decisions) AS n
    FROM routing_count
    WHERE run_id = (SELECT run_id FROM at) AND step = (SELECT step FROM at) AND split = 'probe' AND slot = 0
    GROUP BY layer, token_id, target_id, expert),
cell AS (
    SELECT layer, 'input' AS kind, token_id AS id, expert, sum(n) AS n
    FROM first_choice GROUP BY layer, token_id, expert
    UNION ALL
    SELECT layer, 'next', target_id, expert, sum(n)
    FROM first_choice GROUP BY layer, target_id, expert),
favourite AS (
    SELECT layer, kind, id, 1.0 * max(n) / sum(n) AS share
    FROM cell GROUP BY layer, kind, id)
SELECT layer, kind, avg(share) AS official, count(*) AS all_ids
FROM favourite GROUP BY layer, kind
ORDER BY layer, kind;
