-- A resumed run may write the checkpoint it started from once more.
INSERT INTO checkpoint (run_id, step, path, sha256) VALUES (:run, :step, :path, :sha256)
ON CONFLICT (run_id, step) DO UPDATE SET path = excluded.path, sha256 = excluded.sha256;
