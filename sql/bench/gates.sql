-- How surely was each expert chosen? Asked of the logbook and of the table with a row a decision alike.
SELECT layer, expert, count(*) AS decisions, avg(gate) AS gate
FROM routing
GROUP BY layer, expert;
