-- What a logbook of schema version 1 lacks, for those who read it: every run is one log, known by the run's uuid.
CREATE TEMP VIEW run_part AS
SELECT run_id, uuid AS part, CAST(NULL AS TEXT) AS origin, CAST(NULL AS INTEGER) AS last_step,
       CAST(NULL AS TEXT) AS held, started_at AS added_at
FROM main.run;
