-- Whether decisions were taken out of the run there that may still be here.
SELECT (SELECT count(*) FROM input.event WHERE run_id = :old AND kind = 'pruned') >
       (SELECT count(*) FROM main.event WHERE run_id = :new AND kind = 'pruned');
