-- Every expert has a row in `expert` and an entry in every load.
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
    SELECT 'run ''' || run.name || ''', step ' || b.step || ' (' || b.split || '), layer ' || b.layer || ': a load of ' ||
           json_array_length(b.experts) || ' experts, not ' || coalesce(l.n_experts, 'of an MoE layer')
    FROM load_block AS b
    JOIN run USING (run_id)
    LEFT JOIN moe_layer AS l ON l.run_id = b.run_id AND l.layer = b.layer
    WHERE json_array_length(b.experts) IS NOT l.n_experts
)
SELECT (SELECT count(*) FROM layer) + (SELECT count(*) FROM load_block) AS checked,
       count(*) AS violations,
       (SELECT detail FROM violation LIMIT 1) AS detail
FROM violation;
