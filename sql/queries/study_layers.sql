-- How many experts does a token get in each layer, by configuration of a study?
-- Runs named CONFIGURATION.seedN, on valid documents at the last step: mean, lowest and highest of the seeds.
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
    SELECT l.configuration, l.seed, x.layer,
           1.0 * sum(x.assignments + x.dropped) / (SELECT sum(d.n_tokens) FROM document_loss AS d
                                                   WHERE d.run_id = l.run_id AND d.step = l.step AND d.split = 'valid')
               AS experts,
           (SELECT m.value FROM layer_metric AS m
            WHERE m.run_id = l.run_id AND m.step = l.step AND m.split = 'valid' AND m.layer = x.layer
              AND m.name = 'router_entropy') AS entropy
    FROM last AS l
    JOIN expert_load AS x ON x.run_id = l.run_id AND x.step = l.step AND x.split = 'valid' AND x.domain_id IS NULL
    GROUP BY l.run_id, x.layer
)
SELECT configuration, layer, count(*) AS seeds, avg(experts) AS experts, min(experts) AS lowest,
       max(experts) AS highest, avg(entropy) AS router_entropy
FROM used
GROUP BY configuration, layer
ORDER BY configuration, layer;
