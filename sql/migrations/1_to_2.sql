-- Schema version 2: a run knows the logs that it is made of. Until then every run was one log; it is known by the
-- run's uuid, so that two copies of a logbook, migrated apart, still agree on it.
CREATE TABLE run_part (
    run_id    INTEGER NOT NULL REFERENCES run,
    part      TEXT NOT NULL UNIQUE, -- 128 random bits; in a logbook of schema version 1 the run's uuid
    origin    TEXT,                 -- the file it was merged from; NULL: it was written here
    last_step INTEGER,              -- that it had logged, -1: none; NULL: the run is made of this log alone
    held      TEXT CHECK (held IS NULL OR json_valid(held)), -- its status and how many rows; NULL likewise
    added_at  TEXT NOT NULL,        -- UTC, ISO 8601 with milliseconds
    PRIMARY KEY (run_id, part)
) STRICT, WITHOUT ROWID;

INSERT INTO run_part (run_id, part, added_at) SELECT run_id, uuid, started_at FROM run;

-- Loads of training summed over windows of a hundred steps; the last window of a run that has not ended stays open.
CREATE TABLE load_window_block (
    run_id     INTEGER NOT NULL REFERENCES run,
    first_step INTEGER NOT NULL, -- a multiple of a hundred
    last_step  INTEGER NOT NULL,
    layer      INTEGER NOT NULL,
    experts    TEXT NOT NULL,
    PRIMARY KEY (run_id, first_step, layer)
) STRICT, WITHOUT ROWID;

INSERT INTO load_window_block (run_id, first_step, last_step, layer, experts)
SELECT run_id, "window" * 100, max(last_step), layer,
       json_group_array(json_array(assignments, dropped, gate_sum, probability_sum))
FROM (SELECT run_id, step / 100 AS "window", max(step) AS last_step, layer, expert,
             sum(assignments) AS assignments, sum(dropped) AS dropped,
             CASE WHEN count(gate_sum) = count(*) THEN sum(gate_sum) END AS gate_sum,
             CASE WHEN count(probability_sum) = count(*) THEN sum(probability_sum) END AS probability_sum
      FROM expert_load
      JOIN run USING (run_id)
      JOIN (SELECT run_id, (max(step) + 1) / 100 * 100 AS open_step FROM load_block WHERE split = 'train' GROUP BY run_id)
           USING (run_id)
      WHERE split = 'train' AND domain_id IS NULL AND (run.status <> 'running' OR step < open_step)
      GROUP BY run_id, "window", layer, expert
      ORDER BY run_id, "window", layer, expert)
GROUP BY run_id, "window", layer;

-- The views hold nothing: they are made anew from their present text.
DROP VIEW IF EXISTS expert_load;
DROP VIEW IF EXISTS expert_load_window;
DROP VIEW IF EXISTS probability;
DROP VIEW IF EXISTS routing;
DROP VIEW IF EXISTS routing_count;
DROP VIEW IF EXISTS run_config;
DROP VIEW IF EXISTS token_loss;

PRAGMA user_version = 2;
