-- Runs to choose from: ablations are of one of them.
SELECT run_id, name FROM run WHERE json_extract(config, '$."ablate.run"') IS NULL ORDER BY run_id;
