-- Mean entropy of the router's probabilities per token, in nats, by step and layer: ln N for a router that prefers
-- nothing. Without :run, the newest; without :split, of training.
SELECT step, layer, value AS router_entropy
FROM layer_metric
WHERE run_id = coalesce(:run, (SELECT max(run_id) FROM run)) AND split = coalesce(:split, 'train')
  AND name = 'router_entropy'
ORDER BY step, layer;
