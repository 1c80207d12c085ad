-- What is the loss in each domain, per token and per byte?
-- At the last step of :split (unset: valid). Bits per byte can be compared across domains, nats per token not.
-- A domain with a document whose loss is not a number has none either (NULL).
WITH chosen AS (
    SELECT coalesce(:run, (SELECT run_id FROM run ORDER BY status = 'finished' DESC, run_id DESC LIMIT 1)) AS run_id,
           coalesce(:split, 'valid') AS split
),
last AS (
    SELECT c.run_id, c.split,
           (SELECT max(d.step) FROM document_loss AS d WHERE d.run_id = c.run_id AND d.split = c.split) AS step
    FROM chosen AS c
)
SELECT o.name AS domain, l.step, count(*) AS documents, sum(d.n_tokens) AS tokens,
       CASE WHEN count(d.loss_sum) = count(*) THEN sum(d.loss_sum) / sum(d.n_tokens) END AS nats_per_token,
       CASE WHEN count(d.loss_sum) = count(*) THEN sum(d.loss_sum) / ln(2) / sum(d.n_bytes) END AS bits_per_byte
FROM last AS l
JOIN document_loss AS d ON d.run_id = l.run_id AND d.step = l.step AND d.split = l.split
JOIN document AS m USING (document_id)
JOIN domain AS o USING (domain_id)
GROUP BY o.name, l.step
ORDER BY o.name;
