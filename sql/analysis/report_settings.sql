-- What a run was told to measure and to keep. Without :run, of the newest run.
SELECT key, value
FROM run_config
WHERE run_id = coalesce(:run, (SELECT max(run_id) FROM run))
  AND (key LIKE 'log.%' OR key LIKE 'probe.%' OR key LIKE 'valid.%' OR key LIKE 'train.threads')
ORDER BY key;
