-- Appends to the list of what was pruned, a setting of the run's like those it began with.
UPDATE run
SET config = json_set(config, '$."log.pruned"', json_insert(
    coalesce((SELECT c.value FROM json_each(config) AS c WHERE c.key = 'log.pruned'), '[]'), '$[#]', :note))
WHERE run_id = :run;
