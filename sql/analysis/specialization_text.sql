-- A document as the router saw it: each token with its first choice, that one's gate, and the other choices.
-- :run (default: the newest), :step (default: the last), :document (its name or its number; default: the first of
-- the probe).
WITH pass AS (
    SELECT sequence.run_id, sequence.split, sequence.step, document.document_id
    FROM sequence
    JOIN sample USING (sample_id)
    JOIN document USING (document_id)
    WHERE sequence.run_id = coalesce(:run, (SELECT max(run_id) FROM run))
      AND sequence.step = coalesce(:step, sequence.step)
      AND (:document IS NULL OR document.name = :document OR CAST(document.document_id AS TEXT) = :document)
    ORDER BY sequence.split = 'probe' DESC, sequence.split = 'routed' DESC, sequence.step DESC,
             document.name = :document DESC, document.document_id
    LIMIT 1),
piece AS MATERIALIZED (
    SELECT sequence.sequence_id, sample.offset
    FROM pass
    JOIN sequence USING (run_id, split, step)
    JOIN sample ON sample.sample_id = sequence.sample_id AND sample.document_id = pass.document_id),
choice AS (
    SELECT routing.layer, piece.offset + routing.position AS position, routing.token_id, routing.slot,
           routing.expert, routing.gate
    FROM piece JOIN routing USING (sequence_id)
    ORDER BY routing.layer, position, routing.slot)
SELECT choice.layer, choice.position, token.text AS token,
       max(CASE WHEN choice.slot = 0 THEN choice.expert END) AS expert,
       max(CASE WHEN choice.slot = 0 THEN choice.gate END) AS gate,
       group_concat(CASE WHEN choice.slot > 0 THEN choice.expert END, ' ') AS others
FROM choice
LEFT JOIN run ON run.run_id = (SELECT run_id FROM pass)
LEFT JOIN token ON token.vocabulary_id = run.vocabulary_id AND token.token_id = choice.token_id
GROUP BY choice.layer, choice.position
ORDER BY choice.layer, choice.position;
