INSERT INTO main.run (uuid, name, task, router, seed, status, started_at, heartbeat_at, finished_at, vocabulary_id,
                      corpus_id, config, program, machine)
SELECT i.uuid, :name, i.task, i.router, i.seed, i.status, i.started_at, i.heartbeat_at, i.finished_at, v.new, c.new,
       i.config, i.program, i.machine
FROM input.run AS i
LEFT JOIN temp.vocabulary_map AS v ON v.old = i.vocabulary_id
LEFT JOIN temp.corpus_map AS c ON c.old = i.corpus_id
WHERE i.run_id = :old
RETURNING run_id;
