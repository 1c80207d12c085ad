-- How alike are the gates of a study's runs, whatever their experts are called?
-- Single gates of as many experts over bases of one configuration: adjusted Rand index (Hubert and Arabie 1985) of
-- where two of them send the probe's images at their last step; 1: the same groups, 0: as alike as chance would have it.
-- Pairs over one base, whose clusters and gate had another seed, and pairs over bases of different seeds; mean, lowest
-- and highest of the pairs. For two runs, by matched experts: moescope compare, table agreement.
-- :runs, a JSON array of run ids: these alone.
WITH study_run AS (
    SELECT run_id, seed, substr(name, 1, instr(name, '.seed') - 1) AS configuration FROM run
    WHERE instr(name, '.seed') > 1 AND status = 'finished'
      AND (:runs IS NULL OR run_id IN (SELECT value FROM json_each(:runs)))
),
setting AS (
    SELECT r.run_id, l.n_experts,
           (SELECT c.value FROM run_config AS c WHERE c.run_id = r.run_id AND c.key = 'gate.base') AS base,
           (SELECT CASE WHEN c.value >= 0 THEN c.value ELSE r.seed END FROM run_config AS c
            WHERE c.run_id = r.run_id AND c.key = 'gate.seed') AS gate_seed
    FROM study_run AS r JOIN moe_layer AS l ON l.run_id = r.run_id AND l.router = 'single_gate'
    WHERE l.n_experts > 1
),
gate AS ( -- of runs with one and the same gate the first
    SELECT min(run_id) AS run_id, n_experts, base, gate_seed, substr(base, 1, instr(base, '.seed') - 1) AS stem
    FROM setting
    GROUP BY n_experts, base, gate_seed
),
choice AS (
    SELECT g.run_id, s.sample_id, o.expert
    FROM gate AS g
    JOIN sequence AS s ON s.run_id = g.run_id AND s.split = 'probe'
                       AND s.step = (SELECT max(x.step) FROM sequence AS x WHERE x.run_id = g.run_id AND x.split = 'probe')
    JOIN routing AS o ON o.sequence_id = s.sequence_id
),
cell AS (
    SELECT a.run_id AS one, b.run_id AS other, x.expert AS i, y.expert AS j, 1.0 * count(*) AS n
    FROM gate AS a
    JOIN gate AS b ON b.n_experts = a.n_experts AND b.stem = a.stem AND b.run_id > a.run_id
    JOIN choice AS x ON x.run_id = a.run_id
    JOIN choice AS y ON y.run_id = b.run_id AND y.sample_id = x.sample_id
    GROUP BY a.run_id, b.run_id, x.expert, y.expert
),
pairs AS ( -- of images that are together: in both, in the one, in the other, at all
    SELECT one, other, sum(n * (n - 1) / 2) AS both, sum(n) AS images,
           (SELECT sum(r.n * (r.n - 1) / 2) FROM (SELECT sum(c.n) AS n FROM cell AS c
                                                  WHERE c.one = x.one AND c.other = x.other GROUP BY c.i) AS r) AS rows,
           (SELECT sum(r.n * (r.n - 1) / 2) FROM (SELECT sum(c.n) AS n FROM cell AS c
                                                  WHERE c.one = x.one AND c.other = x.other GROUP BY c.j) AS r) AS columns
    FROM cell AS x
    GROUP BY one, other
),
likeness AS (
    SELECT *, (both - rows * columns / (images * (images - 1) / 2))
              / nullif((rows + columns) / 2 - rows * columns / (images * (images - 1) / 2), 0) AS rand_index
    FROM pairs
)
SELECT replace(a.stem, rtrim(a.stem, replace(a.stem, '/', '')), '') AS base, a.n_experts AS experts,
       CASE WHEN a.base = b.base THEN 'one base' ELSE 'two bases' END AS over, count(*) AS pairs,
       max(images) AS images, avg(rand_index) AS rand_index, min(rand_index) AS lowest, max(rand_index) AS highest
FROM likeness AS l
JOIN gate AS a ON a.run_id = l.one
JOIN gate AS b ON b.run_id = l.other
GROUP BY a.stem, a.n_experts, a.base = b.base
ORDER BY base, experts, over;
