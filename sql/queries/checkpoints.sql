-- Which weights of which step are where?
SELECT r.name AS run, c.step, c.path, c.sha256,
       (SELECT m.value FROM metric AS m
        WHERE m.run_id = c.run_id AND m.split = 'valid' AND m.name = 'loss' AND m.step <= c.step
        ORDER BY m.step DESC LIMIT 1) AS valid_loss
FROM checkpoint AS c
JOIN run AS r USING (run_id)
WHERE :run IS NULL OR r.run_id = :run
ORDER BY r.run_id, c.step;
