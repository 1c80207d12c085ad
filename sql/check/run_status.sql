-- A run has an end exactly when it does not go on; one that has finished has as many training steps as it was to
-- have. (Times are not compared: clocks go backwards.)
WITH trained AS (
    SELECT m.run_id, max(m.step) + 1 AS steps, c.value AS wanted
    FROM metric AS m
    JOIN run_config AS c ON c.run_id = m.run_id AND c.key = 'train.steps'
    WHERE m.split = 'train'
    GROUP BY m.run_id
),
violation AS (
    SELECT 'run ''' || name || ''' is ' || status ||
           CASE WHEN finished_at IS NULL THEN ' and has no finished_at' ELSE ' and has a finished_at' END AS detail
    FROM run
    WHERE (status = 'running') <> (finished_at IS NULL) AND status <> 'imported'
    UNION ALL
    SELECT 'run ''' || name || ''' is finished after ' || steps || ' training steps of ' || wanted
    FROM trained JOIN run USING (run_id)
    WHERE status = 'finished' AND steps <> wanted
    UNION ALL
    SELECT 'run ''' || name || ''' has no last sign of life'
    FROM run
    WHERE heartbeat_at IS NULL AND status <> 'imported'
)
SELECT (SELECT count(*) FROM run) AS checked,
       count(*) AS violations,
       (SELECT detail FROM violation LIMIT 1) AS detail
FROM violation;
