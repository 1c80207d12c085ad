SELECT sample_id, tokens, (SELECT name FROM document AS d WHERE d.document_id = sample.document_id) FROM sample
WHERE document_id = :document AND "offset" = :offset AND n_tokens = :n_tokens;
