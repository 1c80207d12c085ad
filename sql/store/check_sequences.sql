-- All sequences, pass by pass, in the order of the index sequence_pass.
SELECT s.run_id, s.split, s.step, s.sequence_id, m.document_id, m.n_tokens, s.losses, s.checksum
FROM sequence AS s
JOIN sample AS m ON m.sample_id = s.sample_id
ORDER BY s.run_id, s.split, s.step, s.sequence_id;
