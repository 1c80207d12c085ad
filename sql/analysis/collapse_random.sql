-- The ablation of a run (moescope ablate) in which every layer's choices are drawn at random within its load, if there
-- is one. Without :run, that of the newest run.
SELECT run_id, name
FROM run
WHERE json_extract(config, '$."ablate.run"')
      = (SELECT uuid FROM run WHERE run_id = coalesce(:run, (SELECT max(run_id) FROM run)))
  AND json_extract(config, '$."ablate.what"') = 'random'
  AND json_extract(config, '$."ablate.layer"') IS NULL
  AND coalesce(json_extract(config, '$."ablate.split"'), 'valid') = 'valid'
  AND status = 'finished'
ORDER BY run_id DESC
LIMIT 1;
