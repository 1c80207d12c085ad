-- What a sequence reads and what it predicted.
SELECT m.tokens, s.losses, s.checksum
FROM main.sequence AS s
JOIN main.sample AS m ON m.sample_id = s.sample_id
WHERE s.sequence_id = :sequence;
