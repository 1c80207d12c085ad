-- The run that repeats another one's evaluation with every layer's choices drawn at random within its load, if
-- there is one: its settings say of whom and of what it is an ablation. Without :run, that of the newest run.
SELECT r.run_id, r.name
FROM run AS r
JOIN run_config AS o ON o.run_id = r.run_id AND o.key = 'ablate.run'
JOIN run_config AS w ON w.run_id = r.run_id AND w.key = 'ablate.what' AND w.value = 'random'
LEFT JOIN run_config AS l ON l.run_id = r.run_id AND l.key = 'ablate.layer'
WHERE l.value IS NULL
  AND o.value = (SELECT uuid FROM run WHERE run_id = coalesce(:run, (SELECT max(run_id) FROM run)))
ORDER BY r.run_id DESC
LIMIT 1;
