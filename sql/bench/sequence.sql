-- Every decision of one sequence, decoded.
SELECT position, layer, slot, expert, gate, 1 AS decisions
FROM routing
WHERE sequence_id = :sequence;
