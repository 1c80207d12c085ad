-- The ten tokens that set each expert apart: by count times the logarithm of the lift, of those that at least
-- three documents gave to the expert. :run (default: the newest), :step (default: the last of the probe).
WITH at AS (
    SELECT run_id, max(step) AS step
    FROM sequence
    WHERE run_id = coalesce(:run, (SELECT max(run_id) FROM run)) AND split = 'probe'
      AND step <= coalesce(:step, step)
    GROUP BY run_id),
by_document AS (
    SELECT layer, expert, token_id, document_id, sum(decisions) AS n
    FROM routing_count
    WHERE run_id = (SELECT run_id FROM at) AND step = (SELECT step FROM at) AND split = 'probe'
    GROUP BY layer, expert, token_id, document_id),
cell AS (
    SELECT layer, expert, token_id, sum(n) AS n, count(*) AS documents
    FROM by_document
    GROUP BY layer, expert, token_id),
lifted AS (
    SELECT layer, expert, token_id, n, documents,
           1.0 * n / sum(n) OVER (PARTITION BY layer, token_id)
               / (1.0 * sum(n) OVER (PARTITION BY layer, expert) / sum(n) OVER (PARTITION BY layer)) AS lift
    FROM cell),
ranked AS (
    SELECT layer, expert, token_id, n, lift, documents,
           row_number() OVER (PARTITION BY layer, expert ORDER BY n * ln(lift) DESC, token_id) AS rank
    FROM lifted
    WHERE lift > 1 AND documents >= 3)
SELECT ranked.layer, ranked.expert, ranked.rank, token.text AS token, ranked.n AS count, ranked.lift,
       ranked.documents
FROM ranked
JOIN run ON run.run_id = (SELECT run_id FROM at)
LEFT JOIN token ON token.vocabulary_id = run.vocabulary_id AND token.token_id = ranked.token_id
WHERE ranked.rank <= 10
ORDER BY ranked.layer, ranked.expert, ranked.rank;
