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
shape AS (
  SELECT min(step) AS first, max(1, (max(step) - min(step) + 1) / 120) AS width,
         (max(step) - min(step) + 1) / max(1, (max(step) - min(step) + 1) / 120) AS stretches
  FROM chosen
),
placed AS ( -- what is left over at the end joins the last stretch
  SELECT first + width * min((step - first) / width, stretches - 1) AS start, value
  FROM chosen, shape
)
SELECT start AS step, count(*) AS steps, avg(value) AS loss
FROM placed
GROUP BY start
ORDER BY start;
