-- What the decoding views stand on: all 256 bytes in order, and integers without a gap up to the longest block.
WITH need(n) AS (
    SELECT max(coalesce((SELECT max(n_tokens) + 1 FROM sample), 0), coalesce((SELECT max(n_experts) FROM moe_layer), 0))
),
violation AS (
    SELECT '_byte is not the 256 bytes in order' AS detail
    WHERE (SELECT count(*) FROM _byte) <> 1
       OR EXISTS (SELECT 1 FROM _byte, _integer WHERE i < 256 AND hex(substr(bytes, i + 1, 1)) <> printf('%02X', i))
    UNION ALL
    SELECT '_integer has ' || count(*) || ' numbers up to ' || max(i) || '; ' || n || ' are needed, from 0 on'
    FROM need, _integer
    HAVING coalesce(min(i) <> 0 OR max(i) + 1 <> count(*) OR count(*) < n, 1)
)
SELECT 2 AS checked,
       count(*) AS violations,
       (SELECT detail FROM violation LIMIT 1) AS detail
FROM violation;
