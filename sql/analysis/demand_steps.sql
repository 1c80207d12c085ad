-- How the router's entropy and the mass of its likeliest experts went, at every pass of the probe: what was
-- written down while training. The table decodes the probability vectors for concentration_90 too.
-- :run (default: the newest).
SELECT step, layer,
       max(CASE name WHEN 'router_entropy' THEN value END) AS router_entropy,
       max(CASE name WHEN 'rank_mass_1' THEN value END) AS rank_mass_1,
       max(CASE name WHEN 'rank_mass_2' THEN value END) AS rank_mass_2,
       max(CASE name WHEN 'rank_mass_4' THEN value END) AS rank_mass_4
FROM layer_metric
WHERE run_id = coalesce(:run, (SELECT max(run_id) FROM run)) AND split = 'probe'
GROUP BY step, layer
ORDER BY step, layer;
