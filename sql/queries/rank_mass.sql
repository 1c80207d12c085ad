-- How much probability do the routers give to their likeliest experts?
-- experts: the so many likeliest; mass: their part of the probability, mean over tokens, in the first and the last
-- probe pass. This is how sure a router is, not how many experts it needs.
WITH chosen AS (
    SELECT coalesce(:run, (SELECT run_id FROM run ORDER BY status = 'finished' DESC, run_id DESC LIMIT 1)) AS run_id
),
span AS (
    SELECT c.run_id, min(m.step) AS first, max(m.step) AS last
    FROM chosen AS c JOIN layer_metric AS m ON m.run_id = c.run_id AND m.split = 'probe'
)
SELECT m.layer, CAST(substr(m.name, 11) AS INTEGER) AS experts,
       max(CASE WHEN m.step = s.first THEN m.value END) AS mass_first,
       max(CASE WHEN m.step = s.last THEN m.value END) AS mass_last
FROM span AS s
JOIN layer_metric AS m ON m.run_id = s.run_id AND m.split = 'probe' AND m.step IN (s.first, s.last)
                      AND m.name LIKE 'rank_mass_%'
GROUP BY m.layer, experts
ORDER BY m.layer, experts;
