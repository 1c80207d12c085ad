-- Loads by layer and expert, zeros included, in windows of :window steps that begin at :first_step; the last of
-- :windows windows takes the steps that are left over. Without parameters: the newest run's training, by step.
SELECT min((step - coalesce(:first_step, 0)) / coalesce(:window, 1), coalesce(:windows, 1 << 40) - 1) AS window_id,
       min(step) AS first_step, max(step) AS last_step, count(*) AS steps,
       layer, expert,
       sum(assignments) AS assignments, sum(dropped) AS dropped, sum(probability_sum) AS probability
FROM expert_load
WHERE run_id = coalesce(:run, (SELECT max(run_id) FROM run)) AND split = coalesce(:split, 'train')
  AND domain_id IS NULL AND step >= coalesce(:first_step, 0)
GROUP BY window_id, layer, expert
ORDER BY window_id, layer, expert;
