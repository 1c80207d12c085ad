-- Every setting of the runs, and whether they differ in it: a setting that one of them lacks differs too. :runs
-- is a JSON array of run ids; without it, all runs.
WITH wanted AS (
  SELECT key AS position, value AS run_id
  FROM json_each(coalesce(:runs, (SELECT json_group_array(run_id) FROM run)))
),
setting AS (
  SELECT position, run_id, key, CAST(value AS TEXT) AS value
  FROM wanted JOIN run_config USING (run_id)
)
SELECT key, position, value,
       (SELECT count(DISTINCT coalesce(s.value, 'null')) > 1 OR count(*) < (SELECT count(*) FROM wanted)
        FROM setting AS s WHERE s.key = setting.key) AS differs
FROM setting
ORDER BY key, position;
