-- What a run of that name was imported from; no row: there is no such run.
SELECT status, json_extract(config, '$."import.sha256"') AS sha256 FROM run WHERE name = :name;
