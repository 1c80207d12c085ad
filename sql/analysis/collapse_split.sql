-- Of which split an imported run has loads: of training, if of that, else of whatever there is most of. No row: the run
-- was not imported. Without :run, the newest.
SELECT split
FROM load_block JOIN run USING (run_id)
WHERE run_id = coalesce(:run, (SELECT max(run_id) FROM run)) AND status = 'imported'
GROUP BY split
ORDER BY split = 'train' DESC, count(*) DESC LIMIT 1;
