-- How many experts do beginnings of words and their continuations get, frequent and rare ones, by configuration?
-- Runs of a study, named CONFIGURATION.seedN, on valid documents at the last step; mean over layers and seeds. A
-- piece begins a word when its text begins with a space. Buckets: the ids that make up the most frequent 50 % of the
-- train tokens, those from there to 80 %, to 95 %, and the rest.
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
used AS (
    SELECT l.run_id, l.configuration, l.seed, c.token_id, sum(c.decisions) * 1.0 / l.layers AS decisions
    FROM last AS l JOIN routing_count AS c ON c.run_id = l.run_id AND c.step = l.step AND c.split = 'valid'
    WHERE EXISTS (SELECT 1 FROM moe_layer AS m WHERE m.run_id = l.run_id AND m.k IS NULL)
    GROUP BY l.run_id, c.token_id
),
met AS (
    SELECT l.run_id, t.token_id, count(*) AS n_tokens
    FROM last AS l JOIN token_loss AS t ON t.run_id = l.run_id AND t.step = l.step AND t.split = 'valid'
    WHERE l.layers > 0
    GROUP BY l.run_id, t.token_id
),
classed AS (
    SELECT u.configuration, u.seed, i.bucket,
           CASE WHEN t.kind <> 'piece' THEN t.kind WHEN t.text LIKE ' %' THEN 'word start' ELSE 'continuation' END
               AS class,
           sum(u.decisions) / sum(m.n_tokens) AS experts, sum(m.n_tokens) AS n_tokens
    FROM used AS u
    JOIN met AS m USING (run_id, token_id)
    JOIN run AS r USING (run_id)
    JOIN token AS t ON t.vocabulary_id = r.vocabulary_id AND t.token_id = u.token_id
    JOIN item AS i ON i.corpus_id = r.corpus_id AND i.token_id = u.token_id
    GROUP BY u.run_id, class, i.bucket
)
SELECT configuration, class, bucket, count(*) AS seeds, sum(n_tokens) / count(*) AS tokens, avg(experts) AS experts,
       min(experts) AS lowest, max(experts) AS highest
FROM classed
GROUP BY configuration, class, bucket
ORDER BY configuration, class, bucket;
