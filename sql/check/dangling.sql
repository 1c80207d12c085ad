-- Ids that no foreign key guards: a block belongs to a sequence and a layer of its run, a load to a domain, figures
-- and events to layers and experts, counts to tokens.
WITH violation AS (
    SELECT 'routing_block ' || b.block_id || ': no sequence ' || (b.block_id >> 10) || ' with an MoE layer ' ||
           (b.block_id & 1023) AS detail
    FROM routing_block AS b
    LEFT JOIN sequence AS s ON s.sequence_id = b.block_id >> 10
    LEFT JOIN moe_layer AS l ON l.run_id = s.run_id AND l.layer = b.block_id & 1023
    WHERE l.layer IS NULL
    UNION ALL
    SELECT 'probability_block ' || b.block_id || ': no sequence ' || (b.block_id >> 10) || ' with an MoE layer ' ||
           (b.block_id & 1023) || ' of ' || b.n_experts || ' experts'
    FROM probability_block AS b
    LEFT JOIN sequence AS s ON s.sequence_id = b.block_id >> 10
    LEFT JOIN moe_layer AS l ON l.run_id = s.run_id AND l.layer = b.block_id & 1023
    WHERE l.n_experts IS NOT b.n_experts
    UNION ALL
    SELECT 'load of step ' || b.step || ', layer ' || b.layer || ': no domain ' || b.domain_id
    FROM load_block AS b
    WHERE b.domain_id <> 0 AND b.domain_id NOT IN (SELECT domain_id FROM domain)
    UNION ALL
    SELECT 'layer_metric ' || m.name || ' of step ' || m.step || ': run ' || m.run_id || ' has no MoE layer ' || m.layer
    FROM layer_metric AS m
    LEFT JOIN moe_layer AS l ON l.run_id = m.run_id AND l.layer = m.layer
    WHERE l.layer IS NULL
    UNION ALL
    SELECT 'event ' || e.event_id || ' (' || e.kind || '): run ' || e.run_id || ' has no layer ' || e.layer ||
           coalesce(' with an expert ' || e.expert, '')
    FROM event AS e
    LEFT JOIN moe_layer AS l ON l.run_id = e.run_id AND l.layer = e.layer
    LEFT JOIN expert AS x ON x.run_id = e.run_id AND x.layer = e.layer AND x.expert = e.expert
    WHERE (e.layer IS NOT NULL AND l.layer IS NULL) OR (e.expert IS NOT NULL AND x.expert IS NULL)
    UNION ALL
    SELECT 'token_count: vocabulary ' || c.vocabulary_id || ' has no token ' || c.token_id
    FROM token_count AS c
    LEFT JOIN token AS t ON t.vocabulary_id = c.vocabulary_id AND t.token_id = c.token_id
    WHERE t.token_id IS NULL
)
SELECT (SELECT count(*) FROM routing_block) + (SELECT count(*) FROM probability_block) +
       (SELECT count(*) FROM load_block) + (SELECT count(*) FROM layer_metric) + (SELECT count(*) FROM event) +
       (SELECT count(*) FROM token_count) AS checked,
       count(*) AS violations,
       (SELECT detail FROM violation LIMIT 1) AS detail
FROM violation;
