-- What each run cost: parameters, those that a token meets, tokens and seconds of training, the median speed of
-- its steps, its arithmetic, in all and a token (by the experts that tokens went to, where the run logged that), and
-- the most memory that its process had, in bytes. :runs is a JSON array of run ids; without it, all runs.
WITH wanted AS (
  SELECT key AS position, value AS run_id
  FROM json_each(coalesce(:runs, (SELECT json_group_array(run_id) FROM run)))
),
setting AS (
  SELECT run_id,
         max(CASE key WHEN 'model.parameters' THEN CAST(value AS INTEGER) END) AS parameters,
         max(CASE key WHEN 'model.active_parameters' THEN CAST(value AS INTEGER) END) AS active_parameters,
         max(CASE key WHEN 'model.flops_per_token' THEN CAST(value AS REAL) END) AS flops_per_token
  FROM wanted JOIN run_config USING (run_id)
  GROUP BY run_id
),
speed AS (
  SELECT run_id, value, row_number() OVER (PARTITION BY run_id ORDER BY value) AS i,
         count(*) OVER (PARTITION BY run_id) AS n
  FROM wanted JOIN metric USING (run_id)
  WHERE split = 'train' AND name = 'tokens_per_second' AND value IS NOT NULL
),
median AS (
  SELECT run_id, avg(value) AS tokens_per_second
  FROM speed WHERE i IN ((n + 1) / 2, (n + 2) / 2)
  GROUP BY run_id
),
total AS (
  SELECT run_id, max(CASE name WHEN 'tokens' THEN value END) AS tokens,
         max(CASE name WHEN 'seconds' THEN value END) AS seconds, max(CASE name WHEN 'flops' THEN value END) AS flops,
         max(CASE name WHEN 'peak_memory' THEN value END) AS peak_memory
  FROM wanted JOIN metric USING (run_id)
  WHERE split = 'train' AND name IN ('tokens', 'seconds', 'flops', 'peak_memory')
  GROUP BY run_id
)
SELECT r.name AS run, s.parameters, s.active_parameters, CAST(t.tokens AS INTEGER) AS tokens, t.seconds,
       m.tokens_per_second, coalesce(t.flops, s.flops_per_token * t.tokens) / 1e9 AS gigaflop,
       coalesce(t.flops / nullif(t.tokens, 0), s.flops_per_token) AS flops_per_token,
       CAST(t.peak_memory AS INTEGER) AS peak_memory
FROM wanted JOIN run AS r USING (run_id)
LEFT JOIN setting AS s USING (run_id)
LEFT JOIN total AS t USING (run_id)
LEFT JOIN median AS m USING (run_id)
ORDER BY position;
