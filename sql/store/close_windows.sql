-- Sums the loads of the training steps :first to :last of the run :run over windows of a hundred steps. :first is the
-- first of a window.
INSERT OR REPLACE INTO load_window_block (run_id, first_step, last_step, layer, experts)
SELECT :run, "window" * 100,
       (SELECT max(b.step) FROM load_block AS b
        WHERE b.run_id = :run AND b.step BETWEEN "window" * 100 AND min("window" * 100 + 99, :last) AND b.split = 'train'
          AND b.domain_id = 0), layer,
       json_group_array(json_array(assignments, dropped, gate_sum, probability_sum))
FROM (SELECT step / 100 AS "window", layer, expert,
             sum(assignments) AS assignments, sum(dropped) AS dropped,
             CASE WHEN count(gate_sum) = count(*) THEN sum(gate_sum) END AS gate_sum,
             CASE WHEN count(probability_sum) = count(*) THEN sum(probability_sum) END AS probability_sum
      FROM expert_load
      WHERE run_id = :run AND step BETWEEN :first AND :last AND split = 'train' AND domain_id IS NULL
      GROUP BY "window", layer, expert
      ORDER BY "window", layer, expert)
GROUP BY "window", layer;
