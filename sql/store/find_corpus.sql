SELECT corpus_id FROM corpus WHERE sha256 = :sha256;
