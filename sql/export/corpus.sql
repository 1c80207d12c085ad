-- corpora
SELECT *
FROM corpus
WHERE 1;
