-- The sequences of a run in order of their ids: the passes are found and sorted in the index alone, the blobs
-- looked up after.
WITH pass AS MATERIALIZED (
    SELECT sequence_id, step, split
    FROM sequence
    WHERE run_id = :run AND (:split IS NULL OR split = :split) AND step BETWEEN :first_step AND :last_step
    ORDER BY sequence_id
)
SELECT p.sequence_id, p.step, p.split, s.sample_id, m.document_id, d.domain_id, m."offset", m.n_tokens,
       m.tokens, s.losses, s.checksum
FROM pass AS p
CROSS JOIN sequence AS s ON s.sequence_id = p.sequence_id
CROSS JOIN sample AS m ON m.sample_id = s.sample_id
CROSS JOIN document AS d ON d.document_id = m.document_id;
