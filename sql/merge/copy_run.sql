-- What the run :old has there but for its sequences, as the run :new here.
INSERT INTO main.moe_layer (run_id, layer, router, n_experts, k)
SELECT :new, layer, router, n_experts, k FROM input.moe_layer WHERE run_id = :old;

INSERT INTO main.expert (run_id, layer, expert, kind, parameters)
SELECT :new, layer, expert, kind, parameters FROM input.expert WHERE run_id = :old;

INSERT INTO main.metric (run_id, step, split, name, value, status)
SELECT :new, step, split, name, value, status FROM input.metric WHERE run_id = :old;

INSERT INTO main.layer_metric (run_id, step, split, layer, name, value)
SELECT :new, step, split, layer, name, value FROM input.layer_metric WHERE run_id = :old;

INSERT INTO main.load_block (run_id, step, split, layer, domain_id, experts)
SELECT :new, b.step, b.split, b.layer, CASE b.domain_id WHEN 0 THEN 0 ELSE d.new END, b.experts
FROM input.load_block AS b LEFT JOIN temp.domain_map AS d ON d.old = b.domain_id
WHERE b.run_id = :old;

INSERT INTO main.document_loss (run_id, step, split, document_id, n_tokens, n_bytes, loss_sum)
SELECT :new, l.step, l.split, d.new, l.n_tokens, l.n_bytes, l.loss_sum
FROM input.document_loss AS l LEFT JOIN temp.document_map AS d ON d.old = l.document_id
WHERE l.run_id = :old;

INSERT INTO main.outcome (run_id, step, split, sample_id, target, prediction, exit, multiply_adds)
SELECT :new, o.step, o.split, s.new, o.target, o.prediction, o.exit, o.multiply_adds
FROM input.outcome AS o LEFT JOIN temp.sample_map AS s ON s.old = o.sample_id
WHERE o.run_id = :old;

INSERT INTO main.event (run_id, step, at, kind, layer, expert, value, message)
SELECT :new, step, at, kind, layer, expert, value, message FROM input.event WHERE run_id = :old ORDER BY event_id;

INSERT INTO main.checkpoint (run_id, step, path, sha256)
SELECT :new, step, path, sha256 FROM input.checkpoint WHERE run_id = :old;
