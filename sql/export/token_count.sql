-- how often they occur in the train split
SELECT *
FROM token_count
WHERE 1;
