-- What parts of one run must agree on.
SELECT 'layer ' || layer || ' is in one of them alone, or has another router or other experts' AS detail
FROM (SELECT layer, router, n_experts, k FROM input.moe_layer WHERE run_id = :old
      UNION ALL
      SELECT layer, router, n_experts, k FROM main.moe_layer WHERE run_id = :new)
GROUP BY layer, router, n_experts, k
HAVING count(*) <> 2
UNION ALL
SELECT 'they are of different tasks, routers, corpora or vocabularies'
FROM input.run AS i, main.run AS m
LEFT JOIN temp.corpus_map AS c ON c.old = i.corpus_id
LEFT JOIN temp.vocabulary_map AS v ON v.old = i.vocabulary_id
WHERE i.run_id = :old AND m.run_id = :new
  AND (i.task <> m.task OR i.router <> m.router OR m.corpus_id IS NOT c.new OR m.vocabulary_id IS NOT v.new)
LIMIT 1;
