-- Every training step has the load of every layer.
WITH step AS (
    SELECT DISTINCT run_id, step FROM metric WHERE split = 'train'
),
violation AS (
    SELECT 'run ''' || run.name || ''': no load of layer ' || l.layer || ' in training step ' || s.step AS detail
    FROM step AS s
    JOIN run USING (run_id)
    JOIN moe_layer AS l USING (run_id)
    WHERE run.status <> 'imported'
      AND NOT EXISTS (SELECT 1 FROM load_block AS b
                      WHERE b.run_id = s.run_id AND b.step = s.step AND b.split = 'train' AND b.layer = l.layer
                        AND b.domain_id = 0)
)
SELECT (SELECT count(*) FROM step JOIN moe_layer USING (run_id)) AS checked,
       count(*) AS violations,
       (SELECT detail FROM violation LIMIT 1) AS detail
FROM violation;
