-- Vocabularies and corpora are the same when their hashes are, domains when their names are, documents when
-- their corpora and names are. What is new is added; then every id of the input has one here.
INSERT INTO main.vocabulary (name, sha256)
SELECT name, sha256 FROM input.vocabulary WHERE true ORDER BY vocabulary_id
ON CONFLICT (sha256) DO NOTHING;
INSERT INTO temp.vocabulary_map (old, new)
SELECT i.vocabulary_id, m.vocabulary_id
FROM input.vocabulary AS i JOIN main.vocabulary AS m ON m.sha256 = i.sha256;

INSERT INTO main.token (vocabulary_id, token_id, text, kind)
SELECT v.new, i.token_id, i.text, i.kind
FROM input.token AS i JOIN temp.vocabulary_map AS v ON v.old = i.vocabulary_id
WHERE true
ON CONFLICT (vocabulary_id, token_id) DO NOTHING;

INSERT INTO main.corpus (name, sha256)
SELECT name, sha256 FROM input.corpus WHERE true ORDER BY corpus_id
ON CONFLICT (sha256) DO NOTHING;
INSERT INTO temp.corpus_map (old, new)
SELECT i.corpus_id, m.corpus_id FROM input.corpus AS i JOIN main.corpus AS m ON m.sha256 = i.sha256;

INSERT INTO main.token_count (corpus_id, vocabulary_id, token_id, train_count)
SELECT c.new, v.new, i.token_id, i.train_count
FROM input.token_count AS i
JOIN temp.corpus_map AS c ON c.old = i.corpus_id
JOIN temp.vocabulary_map AS v ON v.old = i.vocabulary_id
WHERE true
ON CONFLICT (corpus_id, vocabulary_id, token_id) DO NOTHING;

INSERT INTO main.domain (name)
SELECT name FROM input.domain WHERE true ORDER BY domain_id
ON CONFLICT (name) DO NOTHING;
INSERT INTO temp.domain_map (old, new)
SELECT i.domain_id, m.domain_id FROM input.domain AS i JOIN main.domain AS m ON m.name = i.name;

INSERT INTO main.document (corpus_id, domain_id, name, sha256, split, n_bytes, n_tokens)
SELECT c.new, d.new, i.name, i.sha256, i.split, i.n_bytes, i.n_tokens
FROM input.document AS i
JOIN temp.corpus_map AS c ON c.old = i.corpus_id
JOIN temp.domain_map AS d ON d.old = i.domain_id
WHERE true
ORDER BY i.document_id
ON CONFLICT (corpus_id, name) DO NOTHING;
INSERT INTO temp.document_map (old, new)
SELECT i.document_id, m.document_id
FROM input.document AS i
JOIN temp.corpus_map AS c ON c.old = i.corpus_id
JOIN main.document AS m ON m.corpus_id = c.new AND m.name = i.name;

INSERT INTO main.document_label (document_id, key, value)
SELECT d.new, i.key, i.value
FROM input.document_label AS i JOIN temp.document_map AS d ON d.old = i.document_id
WHERE true
ON CONFLICT (document_id, key) DO NOTHING;

-- The decoding views count by _integer: it must reach as far as the longest block.
INSERT INTO main._integer (i)
SELECT i FROM input._integer WHERE i > (SELECT max(i) FROM main._integer);
