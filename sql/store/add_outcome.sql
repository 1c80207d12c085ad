-- An update that goes on into the next epoch may see a sample twice: its first answer stays.
INSERT INTO outcome (run_id, step, split, sample_id, target, prediction, exit, multiply_adds)
VALUES (:run, :step, :split, :sample, :target, :prediction, :exit, :multiply_adds)
ON CONFLICT DO NOTHING;
