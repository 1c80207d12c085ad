-- How often a token of the probe went to expert_a first in one run and to expert_b in another, each at its last
-- probe step: the table in which experts are matched. :run_a, :run_b; without them the two newest runs.
-- Slow in the plain shell, where decisions are decoded in SQL.
WITH a AS (
  SELECT coalesce(:run_a, max(run_id)) AS run_id FROM run
),
b AS (
  SELECT coalesce(:run_b, (SELECT max(run_id) FROM run WHERE run_id < (SELECT run_id FROM a))) AS run_id
),
first_choice AS MATERIALIZED (
  SELECT run_id, layer, sample_id, position, expert
  FROM routing AS r
  WHERE split = 'probe' AND slot = 0 AND run_id IN (SELECT run_id FROM a UNION SELECT run_id FROM b)
    AND step = (SELECT max(s.step) FROM sequence AS s WHERE s.run_id = r.run_id AND s.split = 'probe')
)
SELECT x.layer, x.expert AS expert_a, y.expert AS expert_b, count(*) AS tokens
FROM first_choice AS x JOIN first_choice AS y USING (layer, sample_id, position)
WHERE x.run_id = (SELECT run_id FROM a) AND y.run_id = (SELECT run_id FROM b)
GROUP BY x.layer, x.expert, y.expert
ORDER BY x.layer, x.expert, y.expert;
