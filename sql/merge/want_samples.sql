-- The samples of the run :old, marked in the map; then those that are not here yet.
INSERT INTO temp.sample_map (old)
SELECT sample_id FROM input.sequence WHERE run_id = :old
UNION
SELECT sample_id FROM input.outcome WHERE run_id = :old
ON CONFLICT (old) DO NOTHING;

INSERT INTO main.sample (document_id, "offset", n_tokens, sha256, tokens)
SELECT d.new, i."offset", i.n_tokens, i.sha256, i.tokens
FROM temp.sample_map AS s
JOIN input.sample AS i ON i.sample_id = s.old
LEFT JOIN temp.document_map AS d ON d.old = i.document_id
WHERE s.new IS NULL
ORDER BY s.old
ON CONFLICT (document_id, "offset", n_tokens) DO NOTHING;

UPDATE temp.sample_map
SET new = (SELECT m.sample_id
           FROM input.sample AS i
           JOIN temp.document_map AS d ON d.old = i.document_id
           JOIN main.sample AS m ON m.document_id = d.new AND m."offset" = i."offset" AND m.n_tokens = i.n_tokens
           WHERE i.sample_id = temp.sample_map.old)
WHERE new IS NULL;
