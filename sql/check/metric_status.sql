-- A metric has a value exactly when its status is ok.
WITH violation AS (
    SELECT 'run ' || run_id || ', step ' || step || ' (' || split || '): ' || name || ' is ' || coalesce(value, 'NULL') ||
           ' with status ' || status AS detail
    FROM metric
    WHERE (value IS NULL) = (status = 'ok')
)
SELECT (SELECT count(*) FROM metric) AS checked,
       count(*) AS violations,
       (SELECT detail FROM violation LIMIT 1) AS detail
FROM violation;
