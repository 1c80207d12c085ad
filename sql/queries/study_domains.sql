-- How many experts does a token get in each domain, by configuration of a study?
-- Runs named CONFIGURATION.seedN, on the first :positions (32) positions of valid documents at the last step, so that
-- domains with long documents are not compared with short ones; mean over layers, lowest and highest of the seeds.
-- Configurations in which every token gets as many as the other are left out.
-- :runs, a JSON array of run ids: these alone.
WITH study_run AS (
    SELECT run_id, seed, substr(name, 1, instr(name, '.seed') - 1) AS configuration FROM run
    WHERE instr(name, '.seed') > 1 AND status = 'finished'
      AND (:runs IS NULL OR run_id IN (SELECT value FROM json_each(:runs)))
),
last AS (
    SELECT r.run_id, r.configuration, r.seed,
           (SELECT max(l.step) FROM document_loss AS l WHERE l.run_id = r.run_id AND l.split = 'valid') AS step,
           (SELECT count(*) FROM moe_layer AS m WHERE m.run_id = r.run_id) AS layers
    FROM study_run AS r
),
used AS (
    SELECT l.configuration, l.seed, c.domain_id, sum(c.decisions) * 1.0 / l.layers AS decisions
    FROM last AS l
    JOIN routing_count AS c ON c.run_id = l.run_id AND c.step = l.step AND c.split = 'valid'
    WHERE c.position < coalesce(:positions, 32)
      AND EXISTS (SELECT 1 FROM moe_layer AS m WHERE m.run_id = l.run_id AND m.k IS NULL)
    GROUP BY l.run_id, c.domain_id
),
met AS (
    SELECT l.configuration, l.seed, t.domain_id, count(*) AS n_tokens
    FROM last AS l JOIN token_loss AS t ON t.run_id = l.run_id AND t.step = l.step AND t.split = 'valid'
    WHERE t.position < coalesce(:positions, 32) AND l.layers > 0
    GROUP BY l.run_id, t.domain_id
)
SELECT u.configuration, d.name AS domain, count(*) AS seeds, sum(m.n_tokens) AS tokens,
       avg(u.decisions / m.n_tokens) AS experts, min(u.decisions / m.n_tokens) AS lowest,
       max(u.decisions / m.n_tokens) AS highest
FROM used AS u JOIN met AS m USING (configuration, seed, domain_id) JOIN domain AS d USING (domain_id)
GROUP BY u.configuration, d.name
ORDER BY u.configuration, d.name;
