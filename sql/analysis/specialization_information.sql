-- Which experts the tokens of each domain went to: the counts that I(expert; domain) is about. Here it is the
-- plug-in estimate, biased upward, with each cell's part; the table cross-fits it over documents.
-- :run (default: the newest), :step (default: the last of the probe).
WITH at AS (
    SELECT run_id, max(step) AS step
    FROM sequence
    WHERE run_id = coalesce(:run, (SELECT max(run_id) FROM run)) AND split = 'probe'
      AND step <= coalesce(:step, step)
    GROUP BY run_id),
cell AS (
    SELECT layer, domain_id, expert, sum(decisions) AS n
    FROM routing_count
    WHERE run_id = (SELECT run_id FROM at) AND step = (SELECT step FROM at) AND split = 'probe'
    GROUP BY layer, domain_id, expert),
margin AS (
    SELECT layer, domain_id, expert, n,
           sum(n) OVER (PARTITION BY layer, domain_id) AS in_domain,
           sum(n) OVER (PARTITION BY layer, expert) AS to_expert,
           sum(n) OVER (PARTITION BY layer) AS in_layer
    FROM cell)
SELECT layer, domain.name AS domain, expert, n AS decisions,
       1.0 * n / in_layer * ln(1.0 * n * in_layer / (in_domain * to_expert)) AS nats,
       sum(1.0 * n / in_layer * ln(1.0 * n * in_layer / (in_domain * to_expert))) OVER (PARTITION BY layer)
           AS plug_in_information
FROM margin JOIN domain USING (domain_id)
ORDER BY layer, domain.name, expert;
