-- An ablation of a run; 0: it has none (any more).
SELECT coalesce((SELECT run_id FROM run
                 WHERE json_extract(config, '$."ablate.run"') = (SELECT uuid FROM run WHERE run_id = :run)
                 LIMIT 1), 0);
