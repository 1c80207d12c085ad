-- The losses of each document at a run's last evaluation of :split (valid unless told), or the last one up to
-- :step. :runs is a JSON array of run ids; without it, all runs. :key and :value choose documents by a label
-- ('language', 'en'); without them, all. From these come the losses, the differences and the intervals: paired by
-- document, weighted by its tokens.
WITH wanted AS (
  SELECT key AS position, value AS run_id
  FROM json_each(coalesce(:runs, (SELECT json_group_array(run_id) FROM run)))
),
final AS (
  SELECT position, run_id,
         (SELECT max(step) FROM document_loss AS l
          WHERE l.run_id = wanted.run_id AND l.split = coalesce(:split, 'valid')
            AND l.step <= coalesce(:step, l.step)) AS step
  FROM wanted
)
SELECT f.position, f.run_id, f.step, l.document_id, d.sha256, m.name AS domain,
       d.n_tokens AS document_tokens, l.n_tokens, l.n_bytes, l.loss_sum
FROM final AS f
JOIN document_loss AS l ON l.run_id = f.run_id AND l.step = f.step AND l.split = coalesce(:split, 'valid')
JOIN document AS d USING (document_id)
JOIN domain AS m USING (domain_id)
WHERE :key IS NULL OR EXISTS (SELECT 1 FROM document_label AS b
                              WHERE b.document_id = l.document_id AND b.key = :key AND b.value = :value)
ORDER BY f.position, l.document_id;
