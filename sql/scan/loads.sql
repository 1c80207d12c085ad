-- Loads of a run's layers step by step, all domains together, with the mean entropy of the router's probabilities
-- and, where k varies by token so that they cannot be told from decisions, the layer's tokens: of training from the
-- running total (the mean of the steps since it was last logged), of evaluations from their documents.
SELECT b.step, b.layer, b.experts, e.value AS router_entropy,
       CASE WHEN l.k IS NULL AND b.split = 'train' THEN
           (SELECT (m.value - coalesce(p.value, 0)) / (m.step - coalesce(p.step, -1))
            FROM main.metric AS m
            LEFT JOIN main.metric AS p
                ON p.run_id = m.run_id AND p.split = 'train' AND p.name = 'tokens'
                AND p.step = (SELECT max(q.step) FROM main.metric AS q
                              WHERE q.run_id = b.run_id AND q.step < b.step AND q.split = 'train' AND q.name = 'tokens')
            WHERE m.run_id = b.run_id AND m.step = b.step AND m.split = 'train' AND m.name = 'tokens')
       WHEN l.k IS NULL THEN
           (SELECT sum(d.n_tokens) FROM main.document_loss AS d
            WHERE d.run_id = b.run_id AND d.step = b.step AND d.split = b.split)
       END AS tokens
FROM main.load_block AS b
LEFT JOIN main.moe_layer AS l ON l.run_id = b.run_id AND l.layer = b.layer
LEFT JOIN main.layer_metric AS e
    ON e.run_id = b.run_id AND e.step = b.step AND e.split = b.split AND e.layer = b.layer
    AND e.name = 'router_entropy'
WHERE b.run_id = :run AND b.step > :after AND b.split = :split AND b.domain_id = 0
ORDER BY b.step, b.layer;
