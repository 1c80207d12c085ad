-- The ablation of a run (:of, its uuid) by what it changes: its name, and whether it ended well at :step. Settings
-- that it has no use for are NULL.
SELECT r.name,
       r.status = 'finished' AND (SELECT max(step) FROM document_loss AS l WHERE l.run_id = r.run_id) IS :step AS done
FROM run AS r
WHERE json_extract(r.config, '$."ablate.run"') = :of
  AND json_extract(r.config, '$."ablate.what"') = :what
  AND json_extract(r.config, '$."ablate.split"') = :split
  AND json_extract(r.config, '$."ablate.layer"') IS :layer
  AND json_extract(r.config, '$."ablate.expert"') IS :expert
  AND json_extract(r.config, '$."ablate.k"') IS :k
  AND json_extract(r.config, '$."ablate.seed"') IS :seed
ORDER BY r.run_id
LIMIT 1;
