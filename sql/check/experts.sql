-- Every expert has a row in `expert`, and no row is of another layer.
WITH layer AS (
    SELECT l.run_id, l.layer, l.n_experts,
           (SELECT count(*) FROM expert AS e
            WHERE e.run_id = l.run_id AND e.layer = l.layer AND e.kind = 'routed' AND e.expert BETWEEN 0 AND l.n_experts - 1)
           AS present
    FROM moe_layer AS l
),
violation AS (
    SELECT 'run ''' || run.name || ''', layer ' || layer || ': ' || present || ' of ' || n_experts || ' experts' AS detail
    FROM layer JOIN run USING (run_id)
    WHERE present <> n_experts
    UNION ALL
    SELECT 'run ' || e.run_id || ': expert ' || e.expert || ' of layer ' || e.layer || ', which is no MoE layer'
    FROM expert AS e
    LEFT JOIN moe_layer AS l ON l.run_id = e.run_id AND l.layer = e.layer
    WHERE l.layer IS NULL
)
SELECT (SELECT count(*) FROM layer) + (SELECT count(*) FROM expert) AS checked,
       count(*) AS violations,
       (SELECT detail FROM violation LIMIT 1) AS detail
FROM violation;
