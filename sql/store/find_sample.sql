SELECT sample_id, tokens FROM sample
WHERE document_id = :document AND "offset" = :offset AND n_tokens = :n_tokens;
