-- The share of a domain's tokens that have the expert among their choices, and that share over the expert's
-- share of all tokens (lift; 1: no preference). Experts a domain never uses are rows with 0.
-- :run (default: the newest), :step (default: the last of the probe).
WITH at AS (
    SELECT run_id, max(step) AS step
    FROM sequence
    WHERE run_id = coalesce(:run, (SELECT max(run_id) FROM run)) AND split = 'probe'
      AND step <= coalesce(:step, step)
    GROUP BY run_id),
tokens AS (
    SELECT document.domain_id, sum(sample.n_tokens) AS n
    FROM at JOIN sequence USING (run_id, step) JOIN sample USING (sample_id) JOIN document USING (document_id)
    WHERE sequence.split = 'probe'
    GROUP BY document.domain_id),
cell AS (
    SELECT layer, domain_id, expert, sum(decisions) AS n
    FROM routing_count
    WHERE run_id = (SELECT run_id FROM at) AND step = (SELECT step FROM at) AND split = 'probe'
    GROUP BY layer, domain_id, expert)
SELECT expert.layer, domain.name AS domain, expert.expert,
       coalesce(1.0 * cell.n / tokens.n, 0) AS share,
       coalesce(1.0 * cell.n / tokens.n, 0) * (SELECT sum(n) FROM tokens)
           / sum(cell.n) OVER (PARTITION BY expert.layer, expert.expert) AS lift
FROM at
JOIN expert ON expert.run_id = at.run_id AND expert.kind = 'routed'
JOIN tokens
JOIN domain USING (domain_id)
LEFT JOIN cell
  ON cell.layer = expert.layer AND cell.domain_id = tokens.domain_id AND cell.expert = expert.expert
ORDER BY expert.layer, domain.name, expert.expert;
