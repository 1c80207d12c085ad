-- Runs as the report introduces them. n_experts and k are the largest of its MoE layers, NULL without any; a
-- run whose router is unigram or bigram is a baseline that counted words.
-- pruned_probe: what was pruned of its probe, in words; NULL: nothing was.
-- Without :run, all runs that are no ablations.
SELECT r.run_id, r.name, r.uuid, r.task, r.router, r.seed, r.status, r.started_at, r.finished_at, r.program,
       c.name AS corpus, c.sha256 AS corpus_sha256, v.name AS vocabulary, v.sha256 AS vocabulary_sha256,
       (SELECT max(n_experts) FROM moe_layer AS l WHERE l.run_id = r.run_id) AS n_experts,
       (SELECT max(k) FROM moe_layer AS l WHERE l.run_id = r.run_id) AS k,
       max(coalesce((SELECT max(step) FROM metric AS m WHERE m.run_id = r.run_id), 0),
           coalesce((SELECT max(step) FROM document_loss AS d WHERE d.run_id = r.run_id), 0)) AS last_step,
       (SELECT group_concat(p.value, '; ') FROM run_config AS g, json_each(g.value) AS p
        WHERE g.run_id = r.run_id AND g.key = 'log.pruned' AND p.value LIKE '%probe%') AS pruned_probe
FROM run AS r
LEFT JOIN corpus AS c USING (corpus_id)
LEFT JOIN vocabulary AS v ON v.vocabulary_id = r.vocabulary_id
WHERE r.run_id = coalesce(:run, r.run_id) AND (:run IS NOT NULL OR json_extract(r.config, '$."ablate.run"') IS NULL)
ORDER BY r.run_id;
