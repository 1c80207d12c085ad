-- Are rare tokens harder to continue, and are they routed with less confidence?
-- By how often the input token occurs in the train split, in powers of ten; layer :layer (unset: the first); over the
-- run's last probe pass.
WITH chosen AS (
    SELECT coalesce(:run, (SELECT run_id FROM run ORDER BY status = 'finished' DESC, run_id DESC LIMIT 1)) AS run_id
),
pass AS (
    SELECT c.run_id, r.vocabulary_id, r.corpus_id,
           (SELECT max(s.step) FROM sequence AS s WHERE s.run_id = c.run_id AND s.split = 'probe') AS step,
           coalesce(:layer, (SELECT min(l.layer) FROM moe_layer AS l WHERE l.run_id = c.run_id)) AS layer
    FROM chosen AS c JOIN run AS r USING (run_id)
),
token_routed AS (
    SELECT p.vocabulary_id, p.corpus_id, r.layer, r.token_id, count(*) AS tokens, sum(r.loss) AS loss_sum,
           count(r.loss) AS losses, sum(r.gate) AS gate_sum
    FROM pass AS p
    JOIN routing AS r ON r.run_id = p.run_id AND r.step = p.step AND r.split = 'probe' AND r.layer = p.layer
                     AND r.slot = 0
    GROUP BY r.token_id
)
SELECT t.layer, CASE WHEN k.train_count > 0 THEN CAST(pow(10, length(k.train_count) - 1) AS INTEGER) ELSE 0 END
           AS train_count_from,
       count(*) AS ids, sum(t.tokens) AS tokens, sum(t.loss_sum) / nullif(sum(t.losses), 0) AS loss,
       sum(t.gate_sum) / sum(t.tokens) AS mean_gate
FROM token_routed AS t
LEFT JOIN token_count AS k ON k.corpus_id = t.corpus_id AND k.vocabulary_id = t.vocabulary_id AND k.token_id = t.token_id
GROUP BY train_count_from
ORDER BY train_count_from;
