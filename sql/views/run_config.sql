-- A run's settings, one row each. (`config ->> 'a.b'` would look for b inside a: the keys have dots.)
--     SELECT key, count(DISTINCT value) AS in_use FROM run_config GROUP BY key ORDER BY in_use DESC LIMIT 10;
CREATE VIEW run_config (
    run_id,
    key,  -- section.key
    value -- text, number, 1 or 0 for true and false; a list stays JSON
) AS
SELECT run.run_id, setting.key, setting.value
FROM run, json_each(run.config) AS setting;
