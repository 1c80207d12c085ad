-- Where did one passage go, token by token?
-- The first sixty tokens of sequence :sequence (unset: the first of the run's last probe pass): experts in slot
-- order by layer, and the loss of the next token.
WITH chosen AS (
    SELECT coalesce(:run, (SELECT run_id FROM run ORDER BY status = 'finished' DESC, run_id DESC LIMIT 1)) AS run_id
),
pass AS (
    SELECT c.run_id,
           (SELECT max(s.step) FROM sequence AS s WHERE s.run_id = c.run_id AND s.split = 'probe') AS step
    FROM chosen AS c
),
one AS (
    SELECT coalesce(:sequence, (SELECT min(s.sequence_id) FROM pass AS p JOIN sequence AS s
                                ON s.run_id = p.run_id AND s.step = p.step AND s.split = 'probe')) AS sequence_id
),
decided AS (
    SELECT r.run_id, r.position, r.token_id, r.loss, r.layer, group_concat(r.expert, ' ') AS experts
    FROM (SELECT r.* FROM one AS o JOIN routing AS r ON r.sequence_id = o.sequence_id AND r.position < 60
          ORDER BY r.position, r.layer, r.slot) AS r
    GROUP BY r.position, r.layer
)
SELECT d.position, t.text AS token, group_concat(d.layer || ': ' || d.experts, ', ') AS experts, d.loss
FROM (SELECT * FROM decided ORDER BY position, layer) AS d
JOIN run USING (run_id)
LEFT JOIN token AS t ON t.vocabulary_id = run.vocabulary_id AND t.token_id = d.token_id
GROUP BY d.position
ORDER BY d.position;
