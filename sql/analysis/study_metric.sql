-- A metric of runs (:runs, a JSON array of ids) on a split, at each run's last step of it.
SELECT run_id, value
FROM metric AS m
WHERE name = :name AND split = :split AND run_id IN (SELECT value FROM json_each(:runs))
  AND step = (SELECT max(x.step) FROM metric AS x WHERE x.run_id = m.run_id AND x.name = :name AND x.split = :split);
