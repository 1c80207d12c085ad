-- pieces of documents, without their packed tokens
SELECT sample_id, document_id, "offset", n_tokens, lower(hex(sha256)) AS sha256
FROM sample
WHERE 1;
