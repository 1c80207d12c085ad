-- Before another input.
DELETE FROM temp.vocabulary_map;
DELETE FROM temp.corpus_map;
DELETE FROM temp.domain_map;
DELETE FROM temp.document_map;
DELETE FROM temp.sample_map;
