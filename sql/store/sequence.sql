-- A sequence with its sample.
SELECT s.sample_id, m.document_id, d.domain_id, m."offset", m.n_tokens, m.tokens, s.losses, s.checksum
FROM sequence AS s
JOIN sample AS m ON m.sample_id = s.sample_id
JOIN document AS d ON d.document_id = m.document_id
WHERE s.sequence_id = :sequence;
