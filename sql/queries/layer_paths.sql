-- Where do the tokens of an expert go in the next MoE layer?
-- First choices only; share: of the expert's tokens. Layer :layer (unset: the first) and the one after it, over
-- the run's last probe pass.
WITH chosen AS (
    SELECT coalesce(:run, (SELECT run_id FROM run ORDER BY status = 'finished' DESC, run_id DESC LIMIT 1)) AS run_id
),
start AS (
    SELECT c.run_id,
           (SELECT max(s.step) FROM sequence AS s WHERE s.run_id = c.run_id AND s.split = 'probe') AS step,
           coalesce(:layer, (SELECT min(l.layer) FROM moe_layer AS l WHERE l.run_id = c.run_id)) AS layer
    FROM chosen AS c
),
pass AS (
    SELECT s.*, (SELECT min(l.layer) FROM moe_layer AS l WHERE l.run_id = s.run_id AND l.layer > s.layer) AS next
    FROM start AS s
),
choice AS MATERIALIZED (
    SELECT p.layer AS from_layer, p.next AS to_layer, r.sequence_id * 65536 + r.position AS token,
           r.layer, r.expert
    FROM pass AS p
    JOIN routing AS r ON r.run_id = p.run_id AND r.step = p.step AND r.split = 'probe' AND r.slot = 0
                     AND r.layer IN (p.layer, p.next)
),
path AS (
    SELECT from_layer, to_layer, "from", "to", count(*) AS tokens
    FROM (SELECT from_layer, to_layer, max(CASE WHEN layer = from_layer THEN expert END) AS "from",
                 max(CASE WHEN layer = to_layer THEN expert END) AS "to"
          FROM choice GROUP BY token)
    WHERE "to" IS NOT NULL
    GROUP BY "from", "to"
)
SELECT from_layer, "from" AS from_expert, to_layer, "to" AS to_expert, tokens,
       1.0 * tokens / sum(tokens) OVER (PARTITION BY "from") AS share
FROM path
ORDER BY "from", tokens DESC;
