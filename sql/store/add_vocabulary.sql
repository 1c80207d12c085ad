INSERT INTO vocabulary (name, sha256) VALUES (:name, :sha256) RETURNING vocabulary_id;
