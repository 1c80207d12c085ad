-- The columns of the view `routing_count`, and the schema that the function form reads.
CREATE TABLE x (
    run_id INTEGER, step INTEGER, split TEXT, sequence_id INTEGER, sample_id INTEGER, document_id INTEGER,
    domain_id INTEGER, position INTEGER, token_id INTEGER, target_id INTEGER, layer INTEGER, slot INTEGER,
    expert INTEGER, dropped INTEGER, decisions INTEGER, gate_sum REAL, schema TEXT HIDDEN
);
