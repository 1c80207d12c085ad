-- What share of each domain's decisions goes to each expert?
-- In the run :run (unset: the newest finished), its last step of :split (unset: probe) that was logged by domain.
WITH chosen AS (
    SELECT coalesce(:run, (SELECT run_id FROM run ORDER BY status = 'finished' DESC, run_id DESC LIMIT 1)) AS run_id,
           coalesce(:split, 'probe') AS split
),
last AS (
    SELECT c.run_id, c.split,
           (SELECT max(b.step) FROM load_block AS b
            WHERE b.run_id = c.run_id AND b.split = c.split AND b.domain_id <> 0) AS step
    FROM chosen AS c
)
SELECT e.layer, e.expert, d.name AS domain, e.assignments,
       1.0 * e.assignments / nullif(sum(e.assignments) OVER (PARTITION BY e.layer, e.domain_id), 0) AS share
FROM last AS l
JOIN expert_load AS e ON e.run_id = l.run_id AND e.step = l.step AND e.split = l.split
JOIN domain AS d USING (domain_id)
ORDER BY e.layer, e.expert, d.name;
