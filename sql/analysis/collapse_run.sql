-- How a run ended, how long it was planned to be (NULL: not known) and how far its loads reach. Without :run, the
-- newest; without :split, of training.
SELECT r.status, c.value AS planned_steps,
       (SELECT max(b.step) FROM load_block AS b
        WHERE b.run_id = r.run_id AND b.split = coalesce(:split, 'train')) AS last_step
FROM run AS r
LEFT JOIN run_config AS c ON c.run_id = r.run_id AND c.key = 'train.steps'
WHERE r.run_id = coalesce(:run, (SELECT max(run_id) FROM run));
