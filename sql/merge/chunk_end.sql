-- Where the next so many sequences of the run :old end, from :first on.
SELECT max(sequence_id), count(*)
FROM (SELECT sequence_id FROM input.sequence
      WHERE sequence_id >= :first AND +run_id = :old
      ORDER BY sequence_id LIMIT :chunk);
