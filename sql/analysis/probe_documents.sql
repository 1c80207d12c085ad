-- The documents of a run's probe with their domains. Without :run, of the newest run.
SELECT document_id, document.name AS document, domain.name AS domain
FROM document JOIN domain USING (domain_id)
WHERE document_id IN (
    SELECT sample.document_id
    FROM sequence JOIN sample USING (sample_id)
    WHERE sequence.run_id = coalesce(:run, (SELECT max(run_id) FROM run)) AND sequence.split = 'probe')
ORDER BY domain.name, document_id;
