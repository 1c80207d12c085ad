-- vocabularies
SELECT *
FROM vocabulary
WHERE 1;
