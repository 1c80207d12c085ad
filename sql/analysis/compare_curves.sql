-- The loss of every evaluation of :split (valid unless told), up to :step, in nats per token; NULL where a document's
-- is not a number. :runs is a JSON array of run ids; without it, all runs. :key and :value choose documents by a
-- label ('language', 'en'); without them, all. The lowest is a run's best, a group's mean at a step its curve.
WITH wanted AS (
  SELECT key AS position, value AS run_id
  FROM json_each(coalesce(:runs, (SELECT json_group_array(run_id) FROM run)))
)
SELECT position, run_id, step, count(*) AS documents,
       CASE WHEN count(loss_sum) = count(*) THEN sum(loss_sum) / sum(n_tokens) END AS loss
FROM wanted JOIN document_loss AS l USING (run_id)
WHERE split = coalesce(:split, 'valid') AND step <= coalesce(:step, step)
  AND (:key IS NULL OR EXISTS (SELECT 1 FROM document_label AS b
                               WHERE b.document_id = l.document_id AND b.key = :key AND b.value = :value))
GROUP BY position, step
ORDER BY position, step;
