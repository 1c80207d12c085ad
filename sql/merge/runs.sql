-- The input's runs, each with the same run here, if it is here, and where its sequences are.
SELECT i.run_id, i.name, i.status, m.run_id AS here, m.name AS name_here,
       (SELECT min(sequence_id) FROM input.sequence AS s WHERE s.run_id = i.run_id) AS first,
       (SELECT max(sequence_id) FROM input.sequence AS s WHERE s.run_id = i.run_id) AS last,
       (SELECT count(*) FROM input.sequence AS s WHERE s.run_id = i.run_id) AS sequences
FROM input.run AS i
LEFT JOIN main.run AS m ON m.uuid = i.uuid
ORDER BY i.run_id;
