-- The loads of the input's run :old, each with that of the run :new here, if there is one.
SELECT b.step, b.split, b.layer, CASE b.domain_id WHEN 0 THEN 0 ELSE d.new END AS domain_id, b.experts,
       (SELECT m.experts FROM main.load_block AS m
        WHERE m.run_id = :new AND m.step = b.step AND m.split = b.split AND m.layer = b.layer
          AND m.domain_id = CASE b.domain_id WHEN 0 THEN 0 ELSE d.new END) AS here
FROM input.load_block AS b LEFT JOIN temp.domain_map AS d ON d.old = b.domain_id
WHERE b.run_id = :old;
