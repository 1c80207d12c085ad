-- Whether the main database is a logbook, and how many relations there have the names of the virtual tables.
SELECT (SELECT application_id FROM pragma_application_id) = 1299137907 AS is_logbook, -- "MoEs"
       count(*) AS n_relations
FROM main.sqlite_schema
WHERE type IN ('table', 'view') AND name IN ('routing', 'routing_count', 'token_loss');
