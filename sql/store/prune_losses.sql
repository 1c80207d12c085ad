-- Drops the losses of the tokens of one pass; of how many tokens each sequence had them, in how many bytes.
UPDATE sequence SET losses = NULL, checksum = NULL
WHERE run_id = :run AND split = :split AND step = :step AND losses IS NOT NULL
RETURNING (SELECT n_tokens FROM sample WHERE sample.sample_id = sequence.sample_id),
          (SELECT 2 * n_tokens FROM sample WHERE sample.sample_id = sequence.sample_id);
