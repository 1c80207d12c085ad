-- What a run names, or names anew: whether its uuid is taken, and whether its corpus and its vocabulary are there.
SELECT EXISTS (SELECT 1 FROM run WHERE uuid = :uuid) AS taken,
       :corpus = 0 OR EXISTS (SELECT 1 FROM corpus WHERE corpus_id = :corpus) AS has_corpus,
       :vocabulary = 0 OR EXISTS (SELECT 1 FROM vocabulary WHERE vocabulary_id = :vocabulary) AS has_vocabulary;
