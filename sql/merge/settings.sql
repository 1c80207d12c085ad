-- The settings in which two parts of a run differ.
WITH theirs AS (
    SELECT e.key, e.value FROM input.run AS r, json_each(r.config) AS e WHERE r.run_id = :old
),
ours AS (
    SELECT e.key, e.value FROM main.run AS r, json_each(r.config) AS e WHERE r.run_id = :new
)
SELECT group_concat(key, ', ')
FROM (SELECT key FROM (SELECT key, value FROM theirs EXCEPT SELECT key, value FROM ours)
      UNION
      SELECT key FROM (SELECT key, value FROM ours EXCEPT SELECT key, value FROM theirs));
