-- The exact loads of one pass.
SELECT b.layer, e.key, e.value ->> 0, e.value ->> 1
FROM load_block AS b, json_each(b.experts) AS e
WHERE b.run_id = :run AND b.step = :step AND b.split = :split AND b.domain_id = 0;
