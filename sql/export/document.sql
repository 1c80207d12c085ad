-- documents
SELECT *
FROM document
WHERE 1;
