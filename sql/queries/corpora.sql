-- What text do the runs see: documents, bytes and tokens by domain and split?
SELECT c.name AS corpus, d.name AS domain, m.split, count(*) AS documents, sum(m.n_bytes) AS bytes,
       sum(m.n_tokens) AS tokens, 1.0 * sum(m.n_bytes) / nullif(sum(m.n_tokens), 0) AS bytes_per_token
FROM document AS m
JOIN corpus AS c USING (corpus_id)
JOIN domain AS d USING (domain_id)
GROUP BY c.corpus_id, d.name, m.split
ORDER BY c.corpus_id, d.name, m.split;
