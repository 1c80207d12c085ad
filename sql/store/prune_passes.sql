-- The passes of a run that a request to prune names, and how many they are of each split.
SELECT split, step
FROM sequence
WHERE run_id = :run
  AND split IN (SELECT value FROM json_each(:splits))
  AND step BETWEEN :first_step AND :last_step
  AND (:keep_every = 0 OR step % :keep_every <> 0)
GROUP BY split, step
ORDER BY split, step;
