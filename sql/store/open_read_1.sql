-- What a logbook of schema version 1 lacks, for those who read it: every run is one log, known by the run's uuid.
CREATE TEMP VIEW run_part AS
SELECT run_id, uuid AS part, CAST(NULL AS TEXT) AS origin, CAST(NULL AS INTEGER) AS last_step,
       CAST(NULL AS TEXT) AS held, started_at AS added_at
FROM main.run;

-- ... and windows of loads are summed as they are read.
CREATE TEMP VIEW load_window_block AS
SELECT run_id, "window" * 100 AS first_step, max(last_step) AS last_step, layer,
       json_group_array(json_array(assignments, dropped, gate_sum, probability_sum)) AS experts
FROM (SELECT run_id, step / 100 AS "window", max(step) AS last_step, layer, expert,
             sum(assignments) AS assignments, sum(dropped) AS dropped,
             CASE WHEN count(gate_sum) = count(*) THEN sum(gate_sum) END AS gate_sum,
             CASE WHEN count(probability_sum) = count(*) THEN sum(probability_sum) END AS probability_sum
      FROM main.expert_load
      WHERE split = 'train' AND domain_id IS NULL
      GROUP BY run_id, "window", layer, expert
      ORDER BY run_id, "window", layer, expert)
GROUP BY run_id, "window", layer;

CREATE TEMP VIEW expert_load_window AS
SELECT b.run_id, b.first_step, b.last_step, b.layer, e.key AS expert, e.value ->> 0 AS assignments,
       e.value ->> 1 AS dropped, CAST(e.value ->> 2 AS REAL) AS gate_sum, CAST(e.value ->> 3 AS REAL) AS probability_sum
FROM load_window_block AS b, json_each(b.experts) AS e;
