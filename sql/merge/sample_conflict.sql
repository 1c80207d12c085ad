-- The first sample whose tokens are others there.
SELECT 'the document ''' || d.name || ''' has other tokens from ' || i."offset" || ' on there' AS detail
FROM temp.sample_map AS s
JOIN input.sample AS i ON i.sample_id = s.old
JOIN main.sample AS m ON m.sample_id = s.new
JOIN input.document AS d ON d.document_id = i.document_id
WHERE m.sha256 <> i.sha256
LIMIT 1;
