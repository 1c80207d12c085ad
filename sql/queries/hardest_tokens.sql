-- Which tokens are hardest to predict?
-- The forty of highest mean loss among those that occur four times or more in the run's last probe pass.
WITH chosen AS (
    SELECT coalesce(:run, (SELECT run_id FROM run ORDER BY status = 'finished' DESC, run_id DESC LIMIT 1)) AS run_id
),
pass AS (
    SELECT c.run_id, r.vocabulary_id, r.corpus_id,
           (SELECT max(s.step) FROM sequence AS s WHERE s.run_id = c.run_id AND s.split = 'probe') AS step
    FROM chosen AS c JOIN run AS r USING (run_id)
),
target AS (
    SELECT p.vocabulary_id, p.corpus_id, t.target_id, count(t.loss) AS n, avg(t.loss) AS loss
    FROM pass AS p
    JOIN token_loss AS t ON t.run_id = p.run_id AND t.step = p.step AND t.split = 'probe'
    GROUP BY t.target_id
    HAVING count(t.loss) >= 4
)
SELECT v.text AS target, t.n AS times, t.loss, k.train_count
FROM target AS t
LEFT JOIN token AS v ON v.vocabulary_id = t.vocabulary_id AND v.token_id = t.target_id
LEFT JOIN token_count AS k ON k.corpus_id = t.corpus_id AND k.vocabulary_id = t.vocabulary_id AND k.token_id = t.target_id
ORDER BY t.loss DESC
LIMIT 40;
