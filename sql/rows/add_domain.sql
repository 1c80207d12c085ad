INSERT OR IGNORE INTO domain (domain_id, name) VALUES (:domain, :name);
