-- How many experts hold 90 % of the router's probability, by domain, over the first positions of each sample.
-- :run (default: the newest), :step (default: the last of the probe), :positions (default: 32).
WITH at AS (
    SELECT run_id, max(step) AS step
    FROM sequence
    WHERE run_id = coalesce(:run, (SELECT max(run_id) FROM run)) AND split = 'probe'
      AND step <= coalesce(:step, step)
    GROUP BY run_id),
p AS MATERIALIZED (
    SELECT layer, sequence_id, sample_id, position, probability
    FROM probability
    WHERE run_id = (SELECT run_id FROM at) AND step = (SELECT step FROM at)
      AND position < coalesce(:positions, 32)),
ranked AS (
    SELECT layer, sequence_id, sample_id, position,
           row_number() OVER likeliest AS rank,
           sum(probability) OVER likeliest AS mass,
           sum(probability) OVER (PARTITION BY layer, sequence_id, position) AS total
    FROM p
    WINDOW likeliest AS (PARTITION BY layer, sequence_id, position ORDER BY probability DESC
                         ROWS UNBOUNDED PRECEDING)),
token AS (
    SELECT layer, sequence_id, sample_id, position,
           min(CASE WHEN mass >= 0.9 * total - 1e-9 THEN rank END) AS needed
    FROM ranked
    GROUP BY layer, sequence_id, position)
SELECT token.layer, domain.name AS domain, avg(token.needed) AS concentration_90,
       count(DISTINCT sample.document_id) AS documents
FROM token JOIN sample USING (sample_id) JOIN document USING (document_id) JOIN domain USING (domain_id)
GROUP BY token.layer, domain.name
ORDER BY token.layer, domain.name;
