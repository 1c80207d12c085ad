-- The configuration that a run began with, as the text of an INI file would have it.
SELECT c.key,
       CASE c.type WHEN 'array' THEN trim(c.value, '[]') WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' ELSE c.value END
           AS value
FROM run AS r, json_each(r.config) AS c
WHERE r.run_id = coalesce(:run, (SELECT max(run_id) FROM run));
