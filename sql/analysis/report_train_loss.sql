-- Training loss, the mean over stretches of steps, about 120 of them; the language model's part where the
-- balance losses were logged apart. Without :run, of the newest run.
WITH wanted AS (
  SELECT coalesce(:run, (SELECT max(run_id) FROM run)) AS run_id
),
series AS (
  SELECT m.step, m.value, (m.name = 'lm_loss') AS apart
  FROM wanted JOIN metric AS m USING (run_id)
  WHERE m.split = 'train' AND m.name IN ('loss', 'lm_loss')
),
chosen AS (
  SELECT step, value FROM series WHERE apart = (SELECT max(apart) FROM series)
),
width AS (
  SELECT min(step) AS first, max(1, (max(step) - min(step) + 120) / 120) AS width FROM chosen
)
SELECT first + width * ((step - first) / width) AS step, count(*) AS steps, avg(value) AS loss
FROM chosen, width
GROUP BY (step - first) / width
ORDER BY 1;
