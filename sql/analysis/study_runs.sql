-- The runs of a study: what each is, how many routed experts a token met on average over the MoE blocks, and its
-- losses, on probe and valid documents at the last evaluation of each; what its training cost. A run is named
-- CONFIGURATION.seedN. experts is NULL where there are no routed experts.
WITH study_run AS (
  SELECT run_id, name, status, seed, substr(name, 1, instr(name, '.seed') - 1) AS configuration
  FROM run WHERE instr(name, '.seed') > 1 AND json_extract(config, '$."ablate.run"') IS NULL
),
evaluation AS (
  SELECT r.run_id, s.value AS split,
         (SELECT max(l.step) FROM document_loss AS l WHERE l.run_id = r.run_id AND l.split = s.value) AS step
  FROM study_run AS r, json_each('["probe", "valid"]') AS s
),
score AS (
  SELECT e.run_id, e.split, e.step, sum(l.n_tokens) AS n_tokens,
         CASE WHEN count(l.loss_sum) = count(*) THEN sum(l.loss_sum) / sum(l.n_tokens) END AS loss
  FROM evaluation AS e JOIN document_loss AS l USING (run_id, split, step)
  GROUP BY e.run_id, e.split
),
use AS (
  SELECT s.run_id, s.split, s.loss,
         (SELECT 1.0 * sum(x.assignments + x.dropped) / s.n_tokens FROM expert_load AS x
          WHERE x.run_id = s.run_id AND x.step = s.step AND x.split = s.split AND x.domain_id IS NULL)
           / nullif((SELECT count(*) FROM moe_layer AS m WHERE m.run_id = s.run_id), 0) AS experts
  FROM score AS s
),
cost AS (
  SELECT run_id, max(CASE metric.name WHEN 'tokens' THEN value END) AS tokens,
         max(CASE metric.name WHEN 'flops' THEN value END) AS flops, max(CASE metric.name WHEN 'seconds' THEN value END) AS seconds
  FROM study_run JOIN metric USING (run_id)
  WHERE split = 'train' AND metric.name IN ('tokens', 'flops', 'seconds')
  GROUP BY run_id
)
SELECT r.run_id, r.name AS run, r.configuration, r.seed, r.status,
       (SELECT k.sha256 FROM run JOIN corpus AS k USING (corpus_id) WHERE run.run_id = r.run_id) AS corpus,
       r.status = 'failed' AND EXISTS (SELECT 1 FROM event AS e WHERE e.run_id = r.run_id AND e.kind = 'diverged')
         AS diverged,
       p.loss AS probe_loss, p.experts AS probe_experts, v.loss AS valid_loss, v.experts AS valid_experts,
       CAST(c.tokens AS INTEGER) AS tokens, c.flops, c.seconds
FROM study_run AS r
LEFT JOIN use AS p ON p.run_id = r.run_id AND p.split = 'probe'
LEFT JOIN use AS v ON v.run_id = r.run_id AND v.split = 'valid'
LEFT JOIN cost AS c ON c.run_id = r.run_id
ORDER BY r.configuration, r.seed;
