-- How many tokens a document has; 0: that is not known.
SELECT n_tokens FROM document WHERE document_id = :document;
