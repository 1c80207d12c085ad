-- The run to look at: :run, else the newest that is running, else the newest; what it is and how far it has come.
-- silent: seconds since its last sign of life. seconds and tokens: spent and passed up to its last step, and some
-- steps before (early_*), between which its present speed lies. resumed: how often it was gone on with.
SELECT r.run_id, r.name, r.status, r.router, r.seed,
       max((julianday('now') - julianday(r.heartbeat_at)) * 86400, 0) AS silent,
       (SELECT c.value FROM run_config AS c WHERE c.run_id = r.run_id AND c.key = 'train.steps') AS planned_steps,
       t.step AS last_step, t.value AS tokens, s.value AS seconds,
       early_t.step AS early_step, early_t.value AS early_tokens, early_s.value AS early_seconds,
       v.step AS valid_step, v.value AS valid_loss,
       (SELECT count(*) FROM event AS e WHERE e.run_id = r.run_id AND e.kind = 'resumed') AS resumed
FROM run AS r
LEFT JOIN metric AS t
    ON t.run_id = r.run_id AND t.split = 'train' AND t.name = 'tokens'
    AND t.step = (SELECT max(step) FROM metric AS m WHERE m.run_id = r.run_id AND m.split = 'train')
LEFT JOIN metric AS s ON s.run_id = r.run_id AND s.split = 'train' AND s.name = 'seconds' AND s.step = t.step
LEFT JOIN metric AS early_t
    ON early_t.run_id = r.run_id AND early_t.split = 'train' AND early_t.name = 'tokens'
    AND early_t.step = max(t.step - 30, 0)
LEFT JOIN metric AS early_s
    ON early_s.run_id = r.run_id AND early_s.split = 'train' AND early_s.name = 'seconds' AND early_s.step = early_t.step
LEFT JOIN metric AS v
    ON v.run_id = r.run_id AND v.split = 'valid' AND v.name = 'loss'
    AND v.step = (SELECT max(step) FROM document_loss AS d WHERE d.run_id = r.run_id AND d.split = 'valid')
WHERE r.run_id = coalesce(:run, (SELECT run_id FROM run ORDER BY status = 'running' DESC, run_id DESC LIMIT 1));
