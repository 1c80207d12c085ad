-- How many different experts does a vocabulary item meet, frequent and rare ones, by configuration of a study?
-- Runs named CONFIGURATION.seedN, first choices on probe and valid documents at the last step, items seen 4 times or
-- more there; mean over items, layers and seeds. Where masks or a hash fix a rare item's expert, 1 holds by
-- construction. expected: what as many draws from the layer's load would give, had the item no say.
-- :runs, a JSON array of run ids: these alone.
WITH study_run AS (
    SELECT run_id, seed, substr(name, 1, instr(name, '.seed') - 1) AS configuration FROM run
    WHERE instr(name, '.seed') > 1 AND status = 'finished'
      AND (:runs IS NULL OR run_id IN (SELECT value FROM json_each(:runs)))
),
pass AS (
    SELECT r.run_id, r.configuration, r.seed, s.value AS split,
           (SELECT max(l.step) FROM document_loss AS l WHERE l.run_id = r.run_id AND l.split = s.value) AS step
    FROM study_run AS r, json_each('["probe", "valid"]') AS s
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
met AS MATERIALIZED (
    SELECT p.run_id, p.configuration, p.seed, c.layer, c.token_id, c.expert, sum(c.decisions) AS n
    FROM pass AS p JOIN routing_count AS c ON c.run_id = p.run_id AND c.step = p.step AND c.split = p.split
    WHERE c.slot = 0
    GROUP BY p.run_id, c.layer, c.token_id, c.expert
),
share AS MATERIALIZED (
    SELECT run_id, layer, expert, sum(n) * 1.0 / sum(sum(n)) OVER (PARTITION BY run_id, layer) AS q
    FROM met GROUP BY run_id, layer, expert
),
spread AS (
    SELECT run_id, configuration, seed, layer, token_id, count(*) AS experts, sum(n) AS n
    FROM met GROUP BY run_id, layer, token_id HAVING sum(n) >= 4
)
SELECT s.configuration, i.bucket, count(DISTINCT s.seed) AS seeds, count(DISTINCT s.token_id) AS items,
       avg(s.n) AS occurrences, avg(s.experts) AS distinct_experts,
       avg((SELECT sum(1 - pow(1 - q.q, s.n)) FROM share AS q WHERE q.run_id = s.run_id AND q.layer = s.layer))
           AS expected
FROM spread AS s
JOIN run AS r USING (run_id)
JOIN item AS i ON i.corpus_id = r.corpus_id AND i.token_id = s.token_id
GROUP BY s.configuration, i.bucket
ORDER BY s.configuration, i.bucket;
