INSERT INTO run (uuid, name, task, router, seed, status, started_at, heartbeat_at, vocabulary_id, corpus_id,
                 config, program, machine)
VALUES (coalesce(:uuid, lower(hex(randomblob(16)))), :name, :task, :router, :seed, 'running',
        strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), strftime('%Y-%m-%dT%H:%M:%fZ', 'now'),
        nullif(:vocabulary, 0), nullif(:corpus, 0), :config, :program, :machine)
RETURNING run_id;
