-- labels of documents
SELECT *
FROM document_label
WHERE 1;
