SELECT document_id FROM document WHERE corpus_id = :corpus AND name = :name;
