INSERT INTO sequence (sequence_id, domain_id) VALUES (:sequence, :domain);
