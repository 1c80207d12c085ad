-- The first thing that the input has otherwise although its hash or name is the same, or that it refers to and
-- does not have.
SELECT 'document ' || i.document_id || ' is of a corpus or a domain that is not there' AS detail
FROM input.document AS i
LEFT JOIN temp.corpus_map AS c ON c.old = i.corpus_id
LEFT JOIN temp.domain_map AS o ON o.old = i.domain_id
WHERE c.new IS NULL OR o.new IS NULL
UNION ALL
SELECT 'token ' || i.token_id || ' of the vocabulary ''' || n.name || ''' is another one there'
FROM input.token AS i
JOIN input.vocabulary AS n USING (vocabulary_id)
JOIN temp.vocabulary_map AS v ON v.old = i.vocabulary_id
JOIN main.token AS m ON m.vocabulary_id = v.new AND m.token_id = i.token_id
WHERE m.text <> i.text OR m.kind <> i.kind
UNION ALL
SELECT 'the corpus ''' || n.name || ''' has token ' || i.token_id || ' another number of times there'
FROM input.token_count AS i
JOIN input.corpus AS n USING (corpus_id)
JOIN temp.corpus_map AS c ON c.old = i.corpus_id
JOIN temp.vocabulary_map AS v ON v.old = i.vocabulary_id
JOIN main.token_count AS m ON m.corpus_id = c.new AND m.vocabulary_id = v.new AND m.token_id = i.token_id
WHERE m.train_count <> i.train_count
UNION ALL
SELECT 'the document ''' || i.name || ''' of the corpus ''' || n.name || ''' is another one there'
FROM input.document AS i
JOIN input.corpus AS n USING (corpus_id)
JOIN temp.document_map AS d ON d.old = i.document_id
JOIN main.document AS m ON m.document_id = d.new
LEFT JOIN temp.domain_map AS o ON o.old = i.domain_id
WHERE m.sha256 <> i.sha256 OR m.split <> i.split OR m.n_bytes <> i.n_bytes OR m.n_tokens <> i.n_tokens OR
      m.domain_id IS NOT o.new
UNION ALL
SELECT 'the document ''' || n.name || ''' has another label ''' || i.key || ''' there'
FROM input.document_label AS i
JOIN input.document AS n USING (document_id)
JOIN temp.document_map AS d ON d.old = i.document_id
LEFT JOIN main.document_label AS m ON m.document_id = d.new AND m.key = i.key
WHERE m.value IS NOT i.value
UNION ALL
SELECT 'the run ''' || i.name || ''' is of a corpus or a vocabulary that is not there'
FROM input.run AS i
LEFT JOIN temp.corpus_map AS c ON c.old = i.corpus_id
LEFT JOIN temp.vocabulary_map AS v ON v.old = i.vocabulary_id
WHERE (c.new IS NULL AND i.corpus_id IS NOT NULL) OR (v.new IS NULL AND i.vocabulary_id IS NOT NULL)
LIMIT 1;
