-- Training steps have no gap: a run's steps are 0, 1, 2, ... without a missing one. (Imported logs may.)
WITH steps AS (
    SELECT run_id, min(step) AS first, max(step) AS last, count(*) AS n
    FROM (SELECT DISTINCT run_id, step FROM metric WHERE split = 'train')
    GROUP BY run_id
),
violation AS (
    SELECT max(last + 1 - n, 1) AS missing, -- also when there are steps below 0
           'run ''' || name || ''': ' || (last + 1 - n) || ' of the training steps 0 to ' || last || ' missing' AS detail
    FROM steps JOIN run USING (run_id)
    WHERE (first <> 0 OR n <> last + 1) AND status <> 'imported'
)
SELECT (SELECT coalesce(sum(n), 0) FROM steps) AS checked,
       coalesce(sum(missing), 0) AS violations,
       (SELECT detail FROM violation LIMIT 1) AS detail
FROM violation;
