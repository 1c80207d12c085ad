-- Ids that no foreign key guards: a block belongs to a sequence and a layer of its run, a load to a domain.
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
)
SELECT (SELECT count(*) FROM routing_block) + (SELECT count(*) FROM probability_block) +
       (SELECT count(*) FROM load_block) AS checked,
       count(*) AS violations,
       (SELECT detail FROM violation LIMIT 1) AS detail
FROM violation;
