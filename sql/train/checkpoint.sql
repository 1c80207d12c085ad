-- What the checkpoint of a step was when it was saved. None: the run was killed between the file and this row.
SELECT sha256 FROM checkpoint WHERE run_id = :run AND step = :step;
