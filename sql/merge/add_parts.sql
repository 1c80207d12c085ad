-- A run of one log says itself what it holds; of one of several, each log's share is kept.
INSERT INTO main.run_part (run_id, part, origin, last_step, held, added_at)
SELECT :new, part, coalesce(origin, :origin), CASE WHEN :several THEN last_step END, CASE WHEN :several THEN held END,
       CASE WHEN origin IS NULL THEN strftime('%Y-%m-%dT%H:%M:%fZ', 'now') ELSE added_at END
FROM temp.input_part;
