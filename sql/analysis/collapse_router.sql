-- Mean entropy of the router's probabilities per token, in nats, by layer, from :from_step on: ln N for a router
-- that prefers nothing. Without :run, of the newest run; without :from_step, over all of it.
SELECT layer, avg(value) AS router_entropy, count(*) AS steps
FROM layer_metric
WHERE run_id = coalesce(:run, (SELECT max(run_id) FROM run)) AND split = coalesce(:split, 'train')
  AND name = 'router_entropy' AND step >= coalesce(:from_step, 0)
GROUP BY layer
ORDER BY layer;
