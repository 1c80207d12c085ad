-- domains
SELECT *
FROM domain
WHERE 1;
