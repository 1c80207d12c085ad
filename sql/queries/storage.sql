-- What takes the space in this logbook?
-- Bytes of decisions, whole probability vectors and losses of tokens, by run and split; see `moescope prune`.
SELECT r.name AS run, s.split, count(*) AS sequences, count(DISTINCT s.step) AS passes,
       sum((SELECT sum(coalesce(length(b.experts), 0) + coalesce(length(b.gates), 0) + coalesce(length(b.offsets), 0) +
                       coalesce(length(b.dropped), 0))
            FROM routing_block AS b
            WHERE b.block_id BETWEEN s.sequence_id * 1024 AND s.sequence_id * 1024 + 1023)) AS decision_bytes,
       sum((SELECT sum(length(b.p)) FROM probability_block AS b
            WHERE b.block_id BETWEEN s.sequence_id * 1024 AND s.sequence_id * 1024 + 1023)) AS probability_bytes,
       sum(length(s.losses)) AS loss_bytes
FROM sequence AS s
JOIN run AS r USING (run_id)
WHERE :run IS NULL OR r.run_id = :run
GROUP BY r.run_id, s.split
ORDER BY r.run_id, s.split;
