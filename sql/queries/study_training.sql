-- How many experts does a token get in the course of training, by configuration of a study?
-- Runs named CONFIGURATION.seedN; a row for every :every steps (200), mean over layers and seeds.
-- Configurations in which every token gets as many as the other are left out.
-- :runs, a JSON array of run ids: these alone.
WITH study_run AS (
    SELECT run_id, seed, substr(name, 1, instr(name, '.seed') - 1) AS configuration FROM run
    WHERE instr(name, '.seed') > 1 AND status = 'finished'
      AND (:runs IS NULL OR run_id IN (SELECT value FROM json_each(:runs)))
),
used AS (
    SELECT r.configuration, r.seed, w.first_step / coalesce(:every, 200) * coalesce(:every, 200) AS since,
           sum(w.assignments + w.dropped) * 1.0 / (SELECT count(*) FROM moe_layer AS m WHERE m.run_id = r.run_id)
               AS decisions,
           max(w.last_step) AS last_step, min(w.first_step) AS first_step, r.run_id
    FROM study_run AS r JOIN expert_load_window AS w USING (run_id)
    WHERE EXISTS (SELECT 1 FROM moe_layer AS m WHERE m.run_id = r.run_id AND m.k IS NULL)
    GROUP BY r.run_id, since
),
counted AS (
    SELECT u.configuration, u.since, u.last_step,
           u.decisions / (
               (SELECT m.value FROM metric AS m
                WHERE m.run_id = u.run_id AND m.step = u.last_step AND m.split = 'train' AND m.name = 'tokens')
               - coalesce((SELECT m.value FROM metric AS m
                           WHERE m.run_id = u.run_id AND m.step = u.first_step - 1 AND m.split = 'train'
                             AND m.name = 'tokens'), 0)) AS experts
    FROM used AS u
)
SELECT configuration, since, max(last_step) AS last_step, count(*) AS seeds, avg(experts) AS experts,
       min(experts) AS lowest, max(experts) AS highest
FROM counted
GROUP BY configuration, since
ORDER BY configuration, since;
