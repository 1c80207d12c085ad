-- Another part of the run :new: what both have is added or, where it is one figure of both, kept once.
INSERT INTO main.expert (run_id, layer, expert, kind, parameters)
SELECT :new, layer, expert, kind, parameters FROM input.expert WHERE run_id = :old
ON CONFLICT (run_id, layer, expert) DO NOTHING;

INSERT INTO main.metric (run_id, step, split, name, value, status)
SELECT :new, step, split, name, value, status FROM input.metric WHERE run_id = :old
ON CONFLICT (run_id, step, split, name) DO NOTHING;
UPDATE main.metric
SET value = d.value, status = d.status
FROM temp.difference AS d
WHERE main.metric.run_id = :new AND d.layer = -1 AND d.how <> 'first' AND main.metric.step = d.step
  AND main.metric.split = d.split AND main.metric.name = d.name;

INSERT INTO main.layer_metric (run_id, step, split, layer, name, value)
SELECT :new, step, split, layer, name, value FROM input.layer_metric WHERE run_id = :old
ON CONFLICT (run_id, step, split, layer, name) DO NOTHING;
UPDATE main.layer_metric
SET value = d.value
FROM temp.difference AS d
WHERE main.layer_metric.run_id = :new AND d.layer >= 0 AND d.how <> 'first' AND main.layer_metric.step = d.step
  AND main.layer_metric.split = d.split AND main.layer_metric.layer = d.layer AND main.layer_metric.name = d.name;

INSERT INTO main.document_loss (run_id, step, split, document_id, n_tokens, n_bytes, loss_sum)
SELECT :new, l.step, l.split, d.new, l.n_tokens, l.n_bytes, l.loss_sum
FROM input.document_loss AS l LEFT JOIN temp.document_map AS d ON d.old = l.document_id
WHERE l.run_id = :old
ON CONFLICT (run_id, step, split, document_id) DO UPDATE
SET n_tokens = n_tokens + excluded.n_tokens, n_bytes = n_bytes + excluded.n_bytes,
    loss_sum = loss_sum + excluded.loss_sum;

INSERT INTO main.outcome (run_id, step, split, sample_id, target, prediction, exit, multiply_adds)
SELECT :new, o.step, o.split, s.new, o.target, o.prediction, o.exit, o.multiply_adds
FROM input.outcome AS o LEFT JOIN temp.sample_map AS s ON s.old = o.sample_id
WHERE o.run_id = :old
ON CONFLICT (run_id, step, split, sample_id) DO NOTHING;

INSERT INTO main.event (run_id, step, at, kind, layer, expert, value, message)
SELECT :new, step, at, kind, layer, expert, value, message FROM input.event WHERE run_id = :old ORDER BY event_id;

INSERT INTO main.checkpoint (run_id, step, path, sha256)
SELECT :new, step, path, sha256 FROM input.checkpoint WHERE run_id = :old
ON CONFLICT (run_id, step) DO NOTHING;

-- A run is as far as the last of its parts, and as well as the worst.
UPDATE main.run
SET status = CASE WHEN 'failed' IN (main.run.status, i.status) THEN 'failed'
                  WHEN 'interrupted' IN (main.run.status, i.status) THEN 'interrupted'
                  WHEN 'running' IN (main.run.status, i.status) THEN 'running'
                  ELSE main.run.status
             END,
    started_at = min(main.run.started_at, i.started_at),
    heartbeat_at = max(coalesce(main.run.heartbeat_at, i.heartbeat_at), coalesce(i.heartbeat_at, main.run.heartbeat_at)),
    finished_at = max(coalesce(main.run.finished_at, i.finished_at), coalesce(i.finished_at, main.run.finished_at))
FROM input.run AS i
WHERE main.run.run_id = :new AND i.run_id = :old;
-- A run that goes on has no end.
UPDATE main.run SET finished_at = NULL WHERE run_id = :new AND status = 'running';
