SELECT text, kind FROM token WHERE vocabulary_id = :vocabulary ORDER BY token_id;
