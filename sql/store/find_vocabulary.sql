SELECT vocabulary_id FROM vocabulary WHERE sha256 = :sha256;
