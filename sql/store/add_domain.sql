INSERT INTO domain (name) VALUES (:name) RETURNING domain_id;
