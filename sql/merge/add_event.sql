INSERT INTO main.event (run_id, step, at, kind, message)
VALUES (:new, (SELECT nullif(max(last_step), -1) FROM main.run_part WHERE run_id = :new),
        strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), 'merged', :message);
