INSERT OR IGNORE INTO token_count (corpus_id, vocabulary_id, token_id, train_count)
VALUES (:corpus, :vocabulary, :token, :train_count);
