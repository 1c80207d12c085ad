-- What ought to be a table and is something else.
SELECT name, type
FROM pragma_table_list
WHERE schema = 'main' AND type <> 'table' AND lower(name) IN (
    'run', 'run_part', 'moe_layer', 'expert', 'vocabulary', 'token', 'corpus', 'token_count', 'domain', 'document',
    'document_label', 'sample', 'sequence', 'routing_block', 'probability_block', 'load_block', 'load_window_block',
    'metric', 'layer_metric', 'document_loss', 'outcome', 'event', 'checkpoint', '_integer', '_byte'
);
