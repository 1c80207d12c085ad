-- What was logged of a pass's routers as means over its tokens.
SELECT layer, name, value FROM layer_metric
WHERE run_id = :run AND step = :step AND split = :split AND value IS NOT NULL
  AND (name = 'router_entropy' OR name LIKE 'rank\_mass\_%' ESCAPE '\');
