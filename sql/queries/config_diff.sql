-- Which settings differ between runs?
-- A row a setting and run, for settings that are not the same in all of them; :first and :second, names of runs,
-- narrow it down to two. NULL: not set.
WITH compared AS (
    SELECT run_id, name FROM run WHERE :first IS NULL OR name IN (:first, :second)
),
cell AS (
    SELECT k.key, r.run_id, r.name, c.value
    FROM (SELECT DISTINCT key FROM run_config JOIN compared USING (run_id)) AS k
    CROSS JOIN compared AS r
    LEFT JOIN (SELECT run_id, key, value FROM run_config) AS c ON c.run_id = r.run_id AND c.key = k.key
)
SELECT key, name AS run, value
FROM cell
WHERE key IN (SELECT key FROM cell GROUP BY key HAVING count(DISTINCT coalesce(value, '')) > 1)
ORDER BY key, run_id;
