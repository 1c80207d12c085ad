-- The run of a name, if there is one, and where its last checkpoint is.
SELECT r.run_id, r.status, r.seed,
       (SELECT path FROM checkpoint AS c WHERE c.run_id = r.run_id ORDER BY step DESC LIMIT 1) AS checkpoint
FROM run AS r WHERE r.name = :name;
