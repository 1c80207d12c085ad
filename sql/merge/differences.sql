-- Tokens and bytes that the means of both sides stand for, and the metrics that differ: mean losses and the
-- routers' means become the mean weighted by tokens, bits per byte that by bytes; where a side's tokens are not
-- known, and of all other metrics, what is here stays. What is not finite wins.
DELETE FROM temp.weight;
INSERT INTO temp.weight (step, split, tokens, bytes, added_tokens, added_bytes)
SELECT m.step, m.split, m.tokens, m.bytes, i.tokens, i.bytes
FROM (SELECT step, split, sum(n_tokens) AS tokens, sum(n_bytes) AS bytes
      FROM main.document_loss WHERE run_id = :new GROUP BY step, split) AS m
JOIN (SELECT step, split, sum(n_tokens) AS tokens, sum(n_bytes) AS bytes
      FROM input.document_loss WHERE run_id = :old GROUP BY step, split) AS i
     ON i.step = m.step AND i.split = m.split
WHERE m.tokens > 0 AND i.tokens > 0;

DELETE FROM temp.difference;
INSERT INTO temp.difference (step, split, layer, name, value, status, how)
SELECT step, split, -1, name,
       CASE how WHEN 'by tokens' THEN (mine * tokens + theirs * added_tokens) / (tokens + added_tokens)
                WHEN 'by bytes' THEN (mine * bytes + theirs * added_bytes) / (bytes + added_bytes)
                WHEN 'first' THEN mine
       END,
       CASE WHEN how <> 'not finite' THEN 'ok'
            WHEN status = 'ok' THEN added_status
            WHEN added_status = 'ok' OR added_status = status THEN status
            ELSE 'nan'
       END,
       how
FROM (SELECT m.step, m.split, m.name, m.value AS mine, i.value AS theirs, m.status, i.status AS added_status,
             w.tokens, w.bytes, w.added_tokens, w.added_bytes,
             CASE WHEN m.status <> 'ok' OR i.status <> 'ok' THEN 'not finite'
                  WHEN w.tokens IS NOT NULL AND (m.name = 'loss' OR m.name LIKE '%\_loss' ESCAPE '\') THEN 'by tokens'
                  WHEN w.bytes + w.added_bytes > 0 AND m.name = 'bits_per_byte' THEN 'by bytes'
                  ELSE 'first'
             END AS how
      FROM input.metric AS i
      JOIN main.metric AS m ON m.run_id = :new AND m.step = i.step AND m.split = i.split AND m.name = i.name
      LEFT JOIN temp.weight AS w ON w.step = i.step AND w.split = i.split
      WHERE i.run_id = :old AND (m.value IS NOT i.value OR m.status <> i.status));

INSERT INTO temp.difference (step, split, layer, name, value, status, how)
SELECT step, split, layer, name,
       CASE how WHEN 'by tokens' THEN (mine * tokens + theirs * added_tokens) / (tokens + added_tokens)
                WHEN 'first' THEN mine
       END,
       'ok', how
FROM (SELECT m.step, m.split, m.layer, m.name, m.value AS mine, i.value AS theirs, w.tokens, w.added_tokens,
             CASE WHEN m.value IS NULL OR i.value IS NULL THEN 'not finite'
                  WHEN w.tokens IS NOT NULL AND (m.name = 'router_entropy' OR m.name LIKE 'rank\_mass\_%' ESCAPE '\')
                  THEN 'by tokens'
                  ELSE 'first'
             END AS how
      FROM input.layer_metric AS i
      JOIN main.layer_metric AS m
           ON m.run_id = :new AND m.step = i.step AND m.split = i.split AND m.layer = i.layer AND m.name = i.name
      LEFT JOIN temp.weight AS w ON w.step = i.step AND w.split = i.split
      WHERE i.run_id = :old AND m.value IS NOT i.value);
