-- How fast did the runs train, and how much did their logs hold?
SELECT r.name, r.status, count(m.step) AS steps,
       avg(m.value) AS tokens_per_second, min(m.value) AS slowest, max(m.value) AS fastest,
       (SELECT count(*) FROM sequence AS s WHERE s.run_id = r.run_id) AS logged_sequences,
       r.machine ->> 'cpu' AS cpu, r.machine ->> 'threads' AS threads
FROM run AS r
LEFT JOIN metric AS m ON m.run_id = r.run_id AND m.split = 'train' AND m.name = 'tokens_per_second'
GROUP BY r.run_id
ORDER BY r.run_id;
