-- How far the loads of a run reach, from its first MoE layer: logged steps, and the decisions of all of them,
-- from which the length of a window follows. Without :run, of the newest run; without :split, of training.
SELECT min(step) AS first_step, max(step) AS last_step, count(DISTINCT step) AS steps,
       sum(assignments + dropped) AS decisions, sum(probability_sum) AS probability
FROM expert_load
WHERE run_id = coalesce(:run, (SELECT max(run_id) FROM run)) AND split = coalesce(:split, 'train')
  AND domain_id IS NULL
  AND layer = (SELECT min(layer) FROM moe_layer WHERE run_id = coalesce(:run, (SELECT max(run_id) FROM run)));
