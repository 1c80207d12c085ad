-- Tokens of each window of logged steps, as collapse_load has the windows: of training steps from the running total,
-- of evaluations from their documents; NULL where a step is missing from the total. Needed where the number of
-- experts varies by token, so that tokens cannot be told from decisions. Without :run, of the newest run.
WITH counted AS (
  SELECT step, value - lag(value, 1, 0) OVER steps AS tokens, step - lag(step, 1, -1) OVER steps AS stride
  FROM metric
  WHERE run_id = coalesce(:run, (SELECT max(run_id) FROM run)) AND split = 'train' AND name = 'tokens'
    AND coalesce(:split, 'train') = 'train'
  WINDOW steps AS (ORDER BY step)
  UNION ALL
  SELECT step, sum(n_tokens), 1
  FROM document_loss
  WHERE run_id = coalesce(:run, (SELECT max(run_id) FROM run)) AND split = :split AND :split <> 'train'
  GROUP BY step
)
SELECT min((step - coalesce(:first_step, 0)) / coalesce(:window, 1), coalesce(:windows, 1 << 40) - 1) AS window_id,
       min(step) AS first_step, max(step) AS last_step, count(*) AS steps,
       CASE WHEN count(*) = sum(stride) AND count(tokens) = count(*) THEN sum(tokens) END AS tokens
FROM counted
WHERE step >= coalesce(:first_step, 0)
GROUP BY window_id
ORDER BY window_id;
