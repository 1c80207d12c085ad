-- vocabulary items
SELECT *
FROM token
WHERE 1;
