-- The columns of the view `token_loss`, and the schema that the function form reads.
CREATE TABLE x (
    run_id INTEGER, step INTEGER, split TEXT, sequence_id INTEGER, sample_id INTEGER, document_id INTEGER,
    domain_id INTEGER, position INTEGER, token_id INTEGER, target_id INTEGER, loss REAL, schema TEXT HIDDEN
);
