-- How many experts do easy and hard tokens get, difficulty being the loss of another run?
-- Runs of a study, named CONFIGURATION.seedN; difficulty is the loss of configuration :by (dense) with the same seed,
-- in tenths of the valid tokens at the last step: 1 is the easiest. Mean over layers and seeds.
-- Configurations in which every token gets as many as the other are left out.
-- :runs, a JSON array of run ids: these alone.
WITH study_run AS (
    SELECT run_id, seed, substr(name, 1, instr(name, '.seed') - 1) AS configuration FROM run
    WHERE instr(name, '.seed') > 1 AND status = 'finished'
),
last AS (
    SELECT r.run_id, r.configuration, r.seed,
           (SELECT max(l.step) FROM document_loss AS l WHERE l.run_id = r.run_id AND l.split = 'valid') AS step,
           (SELECT count(*) FROM moe_layer AS m WHERE m.run_id = r.run_id) AS layers,
           (:runs IS NULL OR r.run_id IN (SELECT value FROM json_each(:runs)))
               AND EXISTS (SELECT 1 FROM moe_layer AS m WHERE m.run_id = r.run_id AND m.k IS NULL) AS shown
    FROM study_run AS r
),
hard AS MATERIALIZED (
    SELECT l.seed, t.sample_id, t.position, ntile(10) OVER (PARTITION BY l.run_id ORDER BY t.loss) AS tenth, t.loss
    FROM last AS l JOIN token_loss AS t ON t.run_id = l.run_id AND t.step = l.step AND t.split = 'valid'
    WHERE l.configuration = coalesce(:by, 'dense') AND t.loss IS NOT NULL
),
used AS MATERIALIZED (
    SELECT l.run_id, c.sample_id, c.position, sum(c.decisions) * 1.0 / l.layers AS experts
    FROM last AS l JOIN routing_count AS c ON c.run_id = l.run_id AND c.step = l.step AND c.split = 'valid'
    WHERE l.shown
    GROUP BY l.run_id, c.sample_id, c.position
),
tenths AS (
    SELECT l.configuration, l.seed, h.tenth, count(*) AS n_tokens, avg(h.loss) AS loss,
           avg(coalesce(u.experts, 0)) AS experts
    FROM last AS l
    JOIN hard AS h ON h.seed = l.seed
    LEFT JOIN used AS u ON u.run_id = l.run_id AND u.sample_id = h.sample_id AND u.position = h.position
    WHERE l.run_id IN (SELECT run_id FROM used)
    GROUP BY l.run_id, h.tenth
)
SELECT configuration, tenth, count(*) AS seeds, sum(n_tokens) / count(*) AS tokens, avg(loss) AS difficulty,
       avg(experts) AS experts, min(experts) AS lowest, max(experts) AS highest
FROM tenths
GROUP BY configuration, tenth
ORDER BY configuration, tenth;
