-- Drops the decisions of one pass; how many each block had, in how many bytes.
DELETE FROM routing_block WHERE block_id IN (
    SELECT s.sequence_id * 1024 + l.layer
    FROM sequence AS s JOIN moe_layer AS l ON l.run_id = s.run_id
    WHERE s.run_id = :run AND s.split = :split AND s.step = :step)
RETURNING CASE codec
          WHEN 'e8g8' THEN length(experts)
          WHEN 'e8g16' THEN length(experts)
          WHEN 'a8' THEN length(gates)
          WHEN 'a16' THEN length(gates) / 2
          ELSE length(experts) / 2
          END,
          coalesce(length(experts), 0) + coalesce(length(gates), 0) + coalesce(length(offsets), 0) +
          coalesce(length(dropped), 0);
