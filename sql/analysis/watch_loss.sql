-- The training loss behind step :after, at most :most steps of it: of the language model where it was logged apart
-- from the balance and z losses, else the total. Without :run, of the newest run.
SELECT m.step, coalesce(l.value, m.value) AS loss
FROM metric AS m
LEFT JOIN metric AS l ON l.run_id = m.run_id AND l.step = m.step AND l.split = m.split AND l.name = 'lm_loss'
WHERE m.run_id = coalesce(:run, (SELECT max(run_id) FROM run)) AND m.step > coalesce(:after, -1)
  AND m.split = 'train' AND m.name = 'loss'
ORDER BY m.step
LIMIT coalesce(:most, -1);
