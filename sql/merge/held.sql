-- What a run holds, as far as pruning leaves it alone: whether it has grown shows in the step, the number of rows
-- or the time of its last sign of life.
SELECT max(coalesce((SELECT max(step) FROM main.metric AS x WHERE x.run_id = run.run_id), -1),
           coalesce((SELECT max(step) FROM main.load_block AS x WHERE x.run_id = run.run_id), -1),
           coalesce((SELECT max(step) FROM main.document_loss AS x WHERE x.run_id = run.run_id), -1),
           coalesce((SELECT max(step) FROM main.outcome AS x WHERE x.run_id = run.run_id), -1),
           coalesce((SELECT max(step) FROM main.sequence AS x WHERE x.run_id = run.run_id), -1)) AS last_step,
       json_object('status', status, 'heartbeat_at', heartbeat_at, 'finished_at', finished_at, 'rows',
                   (SELECT count(*) FROM main.metric AS x WHERE x.run_id = run.run_id) +
                   (SELECT count(*) FROM main.layer_metric AS x WHERE x.run_id = run.run_id) +
                   (SELECT count(*) FROM main.document_loss AS x WHERE x.run_id = run.run_id) +
                   (SELECT count(*) FROM main.outcome AS x WHERE x.run_id = run.run_id) +
                   (SELECT count(*) FROM main.checkpoint AS x WHERE x.run_id = run.run_id)) AS held
FROM main.run
WHERE run_id = :run;
