-- Which share of a layer's decisions each expert has in an evaluation (:split, valid unless told) of a run, its
-- first one. Without :run, of the newest run.
SELECT layer, expert,
       CAST(assignments AS REAL) / max(sum(assignments) OVER (PARTITION BY layer), 1) AS share
FROM expert_load
WHERE run_id = coalesce(:run, (SELECT max(run_id) FROM run)) AND split = coalesce(:split, 'valid')
  AND domain_id IS NULL
  AND step = (SELECT min(step) FROM load_block
              WHERE run_id = coalesce(:run, (SELECT max(run_id) FROM run)) AND split = coalesce(:split, 'valid'))
ORDER BY layer, expert;
