-- The columns of the view `routing`, and the schema that the function form routing('other') reads.
CREATE TABLE x (
    run_id INTEGER, step INTEGER, split TEXT, sequence_id INTEGER, sample_id INTEGER, document_id INTEGER,
    domain_id INTEGER, position INTEGER, token_id INTEGER, target_id INTEGER, loss REAL, layer INTEGER,
    slot INTEGER, expert INTEGER, gate REAL, dropped INTEGER, schema TEXT HIDDEN
);
