-- A run is made of one log or more; of several it is known how far each had come, and those of a finished run have
-- come to the same step.
WITH part AS (
    SELECT run.run_id, run.name, run.status, count(p.part) AS n, count(p.held) AS n_held,
           min(p.last_step) AS first, max(p.last_step) AS last
    FROM run LEFT JOIN run_part AS p USING (run_id)
    GROUP BY run.run_id
),
violation AS (
    SELECT 'run ''' || name || ''' is made of no log' AS detail
    FROM part WHERE n = 0
    UNION ALL
    SELECT 'run ''' || name || ''' is made of ' || n || ' logs, and of ' || n_held || ' it is known what they held'
    FROM part WHERE n > 1 AND n_held <> n
    UNION ALL
    SELECT 'run ''' || name || ''' is finished, but one of its logs ends at step ' || first || ' and another at ' || last
    FROM part WHERE n > 1 AND n_held = n AND status = 'finished' AND first <> last
)
SELECT (SELECT count(*) FROM run) + (SELECT count(*) FROM run_part) AS checked,
       count(*) AS violations,
       (SELECT detail FROM violation LIMIT 1) AS detail
FROM violation;
