-- The exact loads of one pass, all domains together.
SELECT layer, experts FROM load_block
WHERE run_id = :run AND step = :step AND split = :split AND domain_id = 0;
