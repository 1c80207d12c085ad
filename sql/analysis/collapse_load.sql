-- Loads by step, layer and expert, zeros included: what windows are pooled from. `asked` is what the router wanted,
-- refused by capacity or not. Without :run, the newest; without :split, of training.
SELECT step, layer, expert, assignments + dropped AS asked, dropped
FROM expert_load
WHERE run_id = coalesce(:run, (SELECT max(run_id) FROM run)) AND split = coalesce(:split, 'train')
  AND domain_id IS NULL
ORDER BY step, layer;
