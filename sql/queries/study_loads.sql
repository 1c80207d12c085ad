-- How evenly do gates use their experts, epoch by epoch, by configuration of a study?
-- Runs named CONFIGURATION.seedN with more than one expert; an epoch is as many tokens (images) as the train split has.
-- Loads of :split (train), summed over the epoch's steps or evaluations, refused decisions included: entropy as a share
-- of ln N, 1 is uniform; dead experts, which got none; share of the busiest. Mean, lowest and highest of the seeds.
-- The experts of a single gate are trained on as many images each by construction: look at its split probe.
-- :runs, a JSON array of run ids: these alone.
WITH study_run AS (
    SELECT run_id, seed, substr(name, 1, instr(name, '.seed') - 1) AS configuration FROM run
    WHERE instr(name, '.seed') > 1 AND status = 'finished'
      AND (:runs IS NULL OR run_id IN (SELECT value FROM json_each(:runs)))
),
size AS (
    SELECT r.*, (SELECT sum(t.train_count) FROM token_count AS t JOIN run AS o USING (corpus_id, vocabulary_id)
                 WHERE o.run_id = r.run_id) AS train_tokens
    FROM study_run AS r
),
used AS (
    SELECT s.configuration, s.run_id, e.layer, e.expert,
           1 + CAST(coalesce(m.value, 0) / s.train_tokens AS INTEGER) AS epoch,
           1.0 * sum(e.assignments + e.dropped) AS n
    FROM size AS s
    JOIN expert_load AS e ON e.run_id = s.run_id AND e.split = coalesce(:split, 'train') AND e.domain_id IS NULL
    LEFT JOIN metric AS m ON m.run_id = s.run_id AND m.step = e.step - 1 AND m.split = 'train' AND m.name = 'tokens'
    GROUP BY s.run_id, e.layer, epoch, e.expert
),
share AS (
    SELECT *, n / nullif(sum(n) OVER (PARTITION BY run_id, layer, epoch), 0) AS p FROM used
),
load AS (
    SELECT configuration, layer, epoch, sum(n = 0) AS dead, max(p) AS top_share,
           -sum(CASE WHEN p > 0 THEN p * ln(p) ELSE 0 END) / nullif(ln(count(*)), 0) AS entropy
    FROM share
    GROUP BY run_id, layer, epoch
)
SELECT configuration, layer, epoch, count(*) AS seeds, avg(entropy) AS entropy, min(entropy) AS lowest,
       max(entropy) AS highest, avg(dead) AS dead, min(dead) AS dead_lowest, max(dead) AS dead_highest,
       avg(top_share) AS top_share
FROM load
WHERE entropy IS NOT NULL
GROUP BY configuration, layer, epoch
ORDER BY configuration, layer, epoch;
