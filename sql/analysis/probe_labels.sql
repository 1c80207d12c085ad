-- What else is known of the probe's documents (language, topic, genre), one row a document and label.
SELECT key, value, document_id
FROM document_label
WHERE document_id IN (
    SELECT sample.document_id
    FROM sequence JOIN sample USING (sample_id)
    WHERE sequence.run_id = coalesce(:run, (SELECT max(run_id) FROM run)) AND sequence.split = 'probe')
ORDER BY key, value, document_id;
