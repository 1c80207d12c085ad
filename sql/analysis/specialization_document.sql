-- Where a run routed a document, the pass to look at first: the probe, then text that `route` was given, then any,
-- each at its last step. :run (default: the newest), :step (default: any), :document (its name or its number;
-- default: whichever comes first).
SELECT sequence.split, sequence.step, document.document_id, document.name AS document
FROM sequence
JOIN sample USING (sample_id)
JOIN document USING (document_id)
WHERE sequence.run_id = coalesce(:run, (SELECT max(run_id) FROM run))
  AND sequence.step = coalesce(:step, sequence.step)
  AND (:document IS NULL OR document.name = :document OR CAST(document.document_id AS TEXT) = :document)
ORDER BY sequence.split = 'probe' DESC, sequence.split = 'routed' DESC, sequence.step DESC,
         document.name = :document DESC, document.document_id
LIMIT 1;
