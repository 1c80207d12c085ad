-- Which runs are there, how did they end, and with what losses?
-- Ablations of runs are left out unless :ablations is 1.
-- stalled: marked as running, yet silent for more than a minute (or heard of in the future: the clock was put back). seconds: of training, as the run counted them.
-- train_loss: of the language model where it was logged apart from the balance and z losses, else the total.
SELECT r.name,
       CASE WHEN r.status = 'running' AND abs(julianday('now') - julianday(r.heartbeat_at)) * 86400 > 60
            THEN 'stalled' ELSE r.status END AS status,
       r.router,
       r.seed,
       (SELECT max(m.step) + 1 FROM metric AS m WHERE m.run_id = r.run_id AND m.split = 'train') AS steps,
       (SELECT c.value FROM run_config AS c WHERE c.run_id = r.run_id AND c.key = 'model.parameters') AS parameters,
       coalesce((SELECT m.value FROM metric AS m
                 WHERE m.run_id = r.run_id AND m.split = 'train' AND m.name = 'lm_loss'
                 ORDER BY m.step DESC LIMIT 1),
                (SELECT m.value FROM metric AS m
                 WHERE m.run_id = r.run_id AND m.split = 'train' AND m.name = 'loss'
                 ORDER BY m.step DESC LIMIT 1)) AS train_loss,
       (SELECT min(m.value) FROM metric AS m
        WHERE m.run_id = r.run_id AND m.split = 'valid' AND m.name = 'loss') AS best_valid_loss,
       (SELECT m.value FROM metric AS m
        WHERE m.run_id = r.run_id AND m.split = 'valid' AND m.name = 'loss'
        ORDER BY m.step DESC LIMIT 1) AS last_valid_loss,
       r.started_at,
       coalesce((SELECT m.value FROM metric AS m
                 WHERE m.run_id = r.run_id AND m.split = 'train' AND m.name = 'seconds'
                 ORDER BY m.step DESC LIMIT 1),
                max(round((julianday(coalesce(r.finished_at, r.heartbeat_at)) - julianday(r.started_at)) * 86400, 3), 0))
           AS seconds
FROM run AS r
WHERE :ablations OR json_extract(r.config, '$."ablate.run"') IS NULL
ORDER BY r.run_id;
