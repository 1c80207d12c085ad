-- Windows of a hundred training steps are there, and hold what their steps hold.
WITH kept AS (
    SELECT b.run_id, b.first_step, b.last_step, b.layer,
           (SELECT sum((e.value ->> 0) * (e.key + 1) + (e.value ->> 1)) FROM json_each(b.experts) AS e) AS n
    FROM load_window_block AS b
),
summed AS (
    SELECT run_id, step / 100 * 100 AS first_step, layer, max(step) AS last_step, sum(n) AS n
    FROM (SELECT b.run_id, b.step, b.layer,
                 (SELECT sum((e.value ->> 0) * (e.key + 1) + (e.value ->> 1)) FROM json_each(b.experts) AS e) AS n
          FROM load_block AS b
          WHERE b.split = 'train' AND b.domain_id = 0)
    GROUP BY run_id, step / 100, layer
),
violation AS (
    SELECT 'run ''' || run.name || ''', training steps from ' || s.first_step || ' on, layer ' || s.layer ||
           CASE WHEN k.n IS NULL THEN ': no load of the window' ELSE ': the window''s load is not that of its steps' END
           AS detail
    FROM summed AS s
    JOIN run USING (run_id)
    LEFT JOIN kept AS k ON k.run_id = s.run_id AND k.first_step = s.first_step AND k.layer = s.layer
    WHERE (k.n IS NULL AND (s.last_step % 100 = 99 OR run.status = 'finished'))
       OR k.n <> s.n OR k.last_step <> s.last_step
    UNION ALL
    SELECT 'run ' || k.run_id || ': a window from step ' || k.first_step || ' on, layer ' || k.layer || ', without steps'
    FROM kept AS k
    LEFT JOIN summed AS s ON s.run_id = k.run_id AND s.first_step = k.first_step AND s.layer = k.layer
    WHERE s.n IS NULL
)
SELECT (SELECT count(*) FROM kept) AS checked,
       count(*) AS violations,
       (SELECT detail FROM violation LIMIT 1) AS detail
FROM violation;
