INSERT INTO corpus (name, sha256) VALUES (:name, :sha256) RETURNING corpus_id;
