-- How many tokens still change their first choice, frequent and rare ones, by configuration of a study?
-- Runs named CONFIGURATION.seedN: share of the probe's tokens whose expert at :since (a share of training, 0.3; the
-- last probe up to there) is not that of the last probe; mean over layers and seeds. Where masks or a hash fix a rare
-- item's expert, 0 holds by construction.
-- :runs, a JSON array of run ids: these alone.
WITH study_run AS (
    SELECT run_id, seed, substr(name, 1, instr(name, '.seed') - 1) AS configuration FROM run
    WHERE instr(name, '.seed') > 1 AND status = 'finished'
      AND (:runs IS NULL OR run_id IN (SELECT value FROM json_each(:runs)))
),
pass AS (
    SELECT r.run_id, r.configuration, r.seed, max(s.step) AS step,
           max(CASE WHEN s.step <= coalesce(:since, 0.3) * x.last THEN s.step END) AS since
    FROM study_run AS r
    JOIN (SELECT run_id, max(step) AS last FROM sequence WHERE split = 'probe' GROUP BY run_id) AS x USING (run_id)
    JOIN (SELECT DISTINCT run_id, step FROM sequence WHERE split = 'probe') AS s USING (run_id)
    GROUP BY r.run_id
),
ranked AS (
    SELECT corpus_id, token_id, train_count, sum(train_count) OVER whole AS total,
           sum(train_count) OVER (PARTITION BY corpus_id ORDER BY train_count DESC, token_id) - train_count AS before
    FROM token_count
    WINDOW whole AS (PARTITION BY corpus_id)
),
item AS MATERIALIZED (
    SELECT corpus_id, token_id,
           CASE WHEN train_count = 0 THEN '5 unseen' WHEN before < 0.5 * total THEN '1 first 50 %'
                WHEN before < 0.8 * total THEN '2 50 to 80 %' WHEN before < 0.95 * total THEN '3 80 to 95 %'
                ELSE '4 rest' END AS bucket
    FROM ranked
),
earlier AS MATERIALIZED (
    SELECT p.run_id, c.layer, c.sample_id, c.position, c.expert
    FROM pass AS p JOIN routing AS c ON c.run_id = p.run_id AND c.step = p.since AND c.split = 'probe' AND c.slot = 0
),
final AS MATERIALIZED (
    SELECT p.run_id, p.configuration, p.seed, p.since, c.layer, c.sample_id, c.position, c.token_id, c.expert
    FROM pass AS p JOIN routing AS c ON c.run_id = p.run_id AND c.step = p.step AND c.split = 'probe' AND c.slot = 0
)
SELECT n.configuration, i.bucket, count(DISTINCT n.seed) AS seeds, max(n.since) AS since,
       count(*) / count(DISTINCT n.seed) / count(DISTINCT n.layer) AS tokens, avg(n.expert <> t.expert) AS share_changed
FROM final AS n
JOIN earlier AS t USING (run_id, layer, sample_id, position)
JOIN run AS r USING (run_id)
JOIN item AS i ON i.corpus_id = r.corpus_id AND i.token_id = n.token_id
GROUP BY n.configuration, i.bucket
ORDER BY n.configuration, i.bucket;
