-- Where a token has k experts, accepted and dropped decisions together are k times the tokens.
WITH load AS (
    SELECT b.run_id, b.step, b.split, b.layer, l.k,
           (SELECT sum((e.value ->> 0) + (e.value ->> 1)) FROM json_each(b.experts) AS e) AS decisions,
           (SELECT sum(d.n_tokens) FROM document_loss AS d
            WHERE d.run_id = b.run_id AND d.step = b.step AND d.split = b.split) AS tokens
    FROM load_block AS b
    JOIN moe_layer AS l ON l.run_id = b.run_id AND l.layer = b.layer
    WHERE b.domain_id = 0 AND l.k IS NOT NULL
),
violation AS (
    SELECT 'run ''' || run.name || ''', step ' || step || ' (' || split || '), layer ' || layer || ': ' || decisions ||
           ' decisions counted for ' || tokens || ' tokens, each to have ' || k AS detail
    FROM load JOIN run USING (run_id)
    WHERE tokens IS NOT NULL AND decisions <> tokens * k
)
SELECT (SELECT count(*) FROM load WHERE tokens IS NOT NULL) AS checked,
       count(*) AS violations,
       (SELECT detail FROM violation LIMIT 1) AS detail
FROM violation;
