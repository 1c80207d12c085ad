-- What a run was told to measure and to keep, and what was pruned since. Without :run, of the newest run.
SELECT key,
       CASE key WHEN 'log.pruned' THEN (SELECT group_concat(p.value, '; ') FROM json_each(c.value) AS p) ELSE value END
           AS value
FROM run_config AS c
WHERE run_id = coalesce(:run, (SELECT max(run_id) FROM run))
  AND (key LIKE 'log.%' OR key LIKE 'probe.%' OR key LIKE 'valid.%' OR key LIKE 'train.threads')
ORDER BY key;
