-- The ablations of a run: what each changed, NULL where that says nothing (layer: NULL, all of them). Their losses
-- are in document_loss, to be compared with those of `nothing`. Without :run, of the newest run that is none itself.
SELECT run_id, name,
       json_extract(config, '$."ablate.what"') AS what,
       json_extract(config, '$."ablate.layer"') AS layer,
       json_extract(config, '$."ablate.expert"') AS expert,
       json_extract(config, '$."ablate.k"') AS k,
       json_extract(config, '$."ablate.seed"') AS seed
FROM run
WHERE json_extract(config, '$."ablate.run"')
      = (SELECT uuid FROM run
         WHERE run_id = coalesce(:run, (SELECT max(run_id) FROM run
                                        WHERE json_extract(config, '$."ablate.run"') IS NULL)))
  AND status = 'finished'
ORDER BY what <> 'nothing', layer, what, k, expert, seed;
