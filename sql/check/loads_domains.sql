-- Where loads are kept by domain as well, the domains add up to the whole.
WITH load AS (
    SELECT run_id, step, split, layer,
           sum(CASE WHEN domain_id = 0 THEN n END) AS whole,
           sum(CASE WHEN domain_id <> 0 THEN n END) AS parts
    FROM (SELECT run_id, step, split, layer, domain_id,
                 (SELECT sum((e.value ->> 0) + (e.value ->> 1)) FROM json_each(experts) AS e) AS n
          FROM load_block)
    GROUP BY run_id, step, split, layer
),
violation AS (
    SELECT 'run ''' || run.name || ''', step ' || step || ' (' || split || '), layer ' || layer || ': the domains have ' ||
           parts || ' decisions, all together ' || coalesce(whole, 'none') AS detail
    FROM load JOIN run USING (run_id)
    WHERE parts IS NOT whole AND parts IS NOT NULL
)
SELECT (SELECT count(*) FROM load WHERE parts IS NOT NULL) AS checked,
       count(*) AS violations,
       (SELECT detail FROM violation LIMIT 1) AS detail
FROM violation;
