INSERT INTO document (corpus_id, domain_id, name, sha256, split, n_bytes, n_tokens)
VALUES (:corpus, :domain, :name, :sha256, :split, :n_bytes, :n_tokens)
RETURNING document_id;
