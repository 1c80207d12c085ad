-- "lm_loss (12 by tokens), seconds (12 first)"
SELECT group_concat(name || ' (' || n || ' ' || how || ')', ', ')
FROM (SELECT name, how, count(*) AS n FROM temp.difference GROUP BY name, how ORDER BY name, how);
