-- How often is a Soft MoE classifier right with k of its experts, by configuration of a study?
-- Runs named CONFIGURATION.seedN with soft.subsets, on valid images at the last step: with the k likeliest of each
-- image (Chung et al. 2024, Algorithm 1; mean, lowest and highest of the seeds), k at random (mean of ten draws), one
-- fixed subset for all, and by search the best subset of each image; wrong: how often some subset gives a wrong label
-- drawn at random; unique: different best subsets. above: of likeliest, in standard deviations of the random draws.
-- :share, where set: for k of that share of the experts alone.
-- :runs, a JSON array of run ids: these alone.
WITH study_run AS (
    SELECT run_id, seed, substr(name, 1, instr(name, '.seed') - 1) AS configuration,
           (SELECT n_experts FROM moe_layer AS l WHERE l.run_id = run.run_id AND layer = 0) AS n_experts FROM run
    WHERE instr(name, '.seed') > 1 AND status = 'finished'
      AND (:runs IS NULL OR run_id IN (SELECT value FROM json_each(:runs)))
),
figure AS (
    SELECT r.configuration, r.seed, r.n_experts, m.run_id, m.step,
           CAST(substr(m.name, 8) AS INTEGER) AS k, -- subset_K_FIGURE: a cast takes the digits alone
           substr(m.name, 8 + instr(substr(m.name, 8), '_')) AS name, m.value
    FROM study_run AS r JOIN metric AS m USING (run_id)
    WHERE m.split = 'valid' AND m.name LIKE 'subset\_%' ESCAPE '\'
),
answer AS (
    SELECT configuration, seed, n_experts, k,
           (SELECT a.value FROM metric AS a
            WHERE a.run_id = f.run_id AND a.step = f.step AND a.split = 'valid' AND a.name = 'accuracy') AS accuracy,
           max(CASE name WHEN 'likeliest' THEN value END) AS likeliest,
           max(CASE name WHEN 'random' THEN value END) AS random,
           max(CASE name WHEN 'random_deviation' THEN value END) AS deviation,
           max(CASE name WHEN 'fixed' THEN value END) AS fixed,
           max(CASE name WHEN 'best' THEN value END) AS best,
           max(CASE name WHEN 'wrong' THEN value END) AS wrong,
           max(CASE name WHEN 'unique' THEN value END) AS "unique"
    FROM figure AS f
    GROUP BY run_id, k
)
SELECT configuration, n_experts, k, count(*) AS seeds, avg(accuracy) AS accuracy, avg(likeliest) AS likeliest,
       min(likeliest) AS lowest, max(likeliest) AS highest, avg(random) AS random,
       avg((likeliest - random) / deviation) AS above, avg(fixed) AS fixed, avg(best) AS best, avg(wrong) AS wrong,
       avg("unique") AS "unique"
FROM answer
WHERE :share IS NULL OR k = round(:share * n_experts)
GROUP BY configuration, k
ORDER BY n_experts, configuration, k DESC;
