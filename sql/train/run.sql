-- The run of a name, if there is one.
SELECT run_id, status, seed FROM run WHERE name = :name;
