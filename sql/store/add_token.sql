INSERT INTO token (vocabulary_id, token_id, text, kind) VALUES (:vocabulary, :token, :text, :kind);
