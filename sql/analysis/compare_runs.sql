-- The runs that are compared, in the order given: :runs is a JSON array of run ids, such as '[3,1]'. Without it,
-- all runs.
WITH wanted AS (
  SELECT key AS position, value AS run_id
  FROM json_each(coalesce(:runs, (SELECT json_group_array(run_id) FROM run)))
)
SELECT r.run_id, r.name, r.task, r.router, r.seed, r.status, r.corpus_id, r.vocabulary_id, r.machine,
       c.name AS corpus, v.name AS vocabulary,
       (SELECT count(*) FROM moe_layer AS l WHERE l.run_id = r.run_id) AS moe_layers,
       (SELECT group_concat(p.value, '; ') FROM run_config AS g, json_each(g.value) AS p
        WHERE g.run_id = r.run_id AND g.key = 'log.pruned') AS pruned -- in words; NULL: nothing was
FROM wanted JOIN run AS r USING (run_id)
LEFT JOIN corpus AS c USING (corpus_id)
LEFT JOIN vocabulary AS v ON v.vocabulary_id = r.vocabulary_id
ORDER BY position;
