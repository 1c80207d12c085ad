-- What an ablation of a run needs to know of it: who it is, and its last checkpoint. Without :run, the newest run.
SELECT r.name, r.uuid, r.seed, c.step, c.path, c.sha256,
       (SELECT value FROM run_config AS o WHERE o.run_id = r.run_id AND o.key = 'ablate.run') AS ablation_of
FROM run AS r
LEFT JOIN checkpoint AS c
  ON c.run_id = r.run_id AND c.step = (SELECT max(step) FROM checkpoint AS d WHERE d.run_id = r.run_id)
WHERE r.run_id = coalesce(:run, (SELECT max(run_id) FROM run));
