-- The steps at which a run's probe was routed, of those whose decisions are still there. Without :run, of the newest
-- run.
SELECT DISTINCT step
FROM sequence AS s
WHERE run_id = coalesce(:run, (SELECT max(run_id) FROM run)) AND split = 'probe'
  AND EXISTS (SELECT 1 FROM routing_block AS r
              WHERE r.block_id BETWEEN s.sequence_id * 1024 AND s.sequence_id * 1024 + 1023)
ORDER BY step;
