INSERT INTO sample (document_id, "offset", n_tokens, sha256, tokens)
VALUES (:document, :offset, :n_tokens, :sha256, :tokens);
