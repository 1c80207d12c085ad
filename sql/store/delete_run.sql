-- What is left of a run of which store/resume_run has forgotten every step.
DELETE FROM event WHERE run_id = :run;
DELETE FROM expert WHERE run_id = :run;
DELETE FROM moe_layer WHERE run_id = :run;
DELETE FROM run_part WHERE run_id = :run;
DELETE FROM run WHERE run_id = :run;
