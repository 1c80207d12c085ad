-- The loss of a run on each token of its last probe: how hard the token is for somebody else. Without :by, of the
-- newest run.
SELECT sample_id, position, loss
FROM token_loss
WHERE run_id = coalesce(:by, (SELECT max(run_id) FROM run)) AND split = 'probe' AND loss IS NOT NULL
  AND step = (SELECT max(step) FROM sequence
              WHERE run_id = coalesce(:by, (SELECT max(run_id) FROM run)) AND split = 'probe');
