-- What an imported run's log did not say. Without :run, the newest.
SELECT json_extract(config, '$."import.format"') IS NOT NULL AS imported,
       coalesce(json_extract(config, '$."import.tokens"'), 'known') = 'unknown' AS ids_unknown,
       coalesce(json_extract(config, '$."import.slot_order"'), 'rank') = 'id' AS slots_by_id,
       coalesce(json_extract(config, '$."import.gates"'), 'known') = 'unknown' AS gates_unknown,
       EXISTS (SELECT 1 FROM sequence AS s
               JOIN probability_block AS p ON p.block_id BETWEEN s.sequence_id * 1024 AND s.sequence_id * 1024 + 1023
               WHERE s.run_id = run.run_id) AS has_probabilities
FROM run WHERE run_id = coalesce(:run, (SELECT max(run_id) FROM run));
