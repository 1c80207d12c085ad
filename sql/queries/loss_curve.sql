-- How does the loss fall?
-- Mean of the loss in up to forty windows of steps, each split by itself; bits_per_byte where it was logged.
WITH chosen AS (
    SELECT coalesce(:run, (SELECT run_id FROM run ORDER BY status = 'finished' DESC, run_id DESC LIMIT 1)) AS run_id
),
span AS (
    SELECT c.run_id, (max(m.step) + 40) / 40 AS width
    FROM chosen AS c JOIN metric AS m ON m.run_id = c.run_id
)
SELECT m.split, m.step / s.width * s.width AS first_step, count(DISTINCT m.step) AS steps,
       avg(CASE WHEN m.name = 'loss' THEN m.value END) AS loss,
       avg(CASE WHEN m.name = 'bits_per_byte' THEN m.value END) AS bits_per_byte,
       sum(m.status <> 'ok') AS not_finite
FROM span AS s
JOIN metric AS m ON m.run_id = s.run_id AND m.name IN ('loss', 'bits_per_byte')
GROUP BY m.split, first_step
ORDER BY m.split, first_step;
