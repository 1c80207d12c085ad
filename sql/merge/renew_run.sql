-- The run :new as it is there by now. Its name stays, for here it may be another; what store/resume_run leaves of
-- a run without steps goes.
DELETE FROM main.expert WHERE run_id = :new;
DELETE FROM main.moe_layer WHERE run_id = :new;
DELETE FROM main.event WHERE run_id = :new;
DELETE FROM main.run_part WHERE run_id = :new;
UPDATE main.run
SET status = i.status, started_at = i.started_at, heartbeat_at = i.heartbeat_at, finished_at = i.finished_at,
    config = i.config, program = i.program, machine = i.machine
FROM input.run AS i
WHERE main.run.run_id = :new AND i.run_id = :old;
