-- Share of tokens whose first choice is that of the token 1, 2, 4 or 8 before it in the same sequence. The
-- table adds what chance gives: by the loads of all the text, and within the same sequence.
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
    WHERE run_id = (SELECT run_id FROM at) AND step = (SELECT step FROM at) AND split = 'probe' AND slot = 0),
lag (lag) AS (VALUES (1), (2), (4), (8))
SELECT now.layer, lag.lag, avg(now.expert = earlier.expert) AS repeated, count(*) AS pairs
FROM lag
JOIN choice AS now
JOIN choice AS earlier
  ON earlier.layer = now.layer AND earlier.sequence_id = now.sequence_id
  AND earlier.position = now.position - lag.lag
GROUP BY now.layer, lag.lag
ORDER BY now.layer, lag.lag;
