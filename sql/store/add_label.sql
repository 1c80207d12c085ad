INSERT INTO document_label (document_id, key, value) VALUES (:document, :key, :value);
