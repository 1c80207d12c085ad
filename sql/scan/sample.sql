-- Where a sequence's sample comes from.
SELECT s.sample_id, m.document_id, d.domain_id, m."offset", m.n_tokens
FROM main.sequence AS s
JOIN main.sample AS m ON m.sample_id = s.sample_id
JOIN main.document AS d ON d.document_id = m.document_id
WHERE s.sequence_id = :sequence;
