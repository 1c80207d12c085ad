-- The lowest loss among a run's evaluations of :split (valid unless told), up to :step: the first evaluation that has
-- it, of those that cover the most documents; none where a document's loss is not a number. :runs is a JSON array of
-- run ids; without it, all runs. :key and :value choose documents by a label ('language', 'en'); without them, all.
WITH wanted AS (
  SELECT key AS position, value AS run_id
  FROM json_each(coalesce(:runs, (SELECT json_group_array(run_id) FROM run)))
),
evaluation AS (
  SELECT position, run_id, step, count(*) AS documents, count(loss_sum) AS finite,
         sum(loss_sum) / sum(n_tokens) AS loss
  FROM wanted JOIN document_loss AS l USING (run_id)
  WHERE split = coalesce(:split, 'valid') AND step <= coalesce(:step, step)
    AND (:key IS NULL OR EXISTS (SELECT 1 FROM document_label AS b
                                 WHERE b.document_id = l.document_id AND b.key = :key AND b.value = :value))
  GROUP BY position, step
),
ranked AS (
  SELECT *, row_number() OVER (PARTITION BY position ORDER BY loss, step) AS place
  FROM evaluation AS e
  WHERE finite = documents
    AND documents = (SELECT max(documents) FROM evaluation AS o WHERE o.position = e.position)
)
SELECT position, run_id, step, loss FROM ranked WHERE place = 1 ORDER BY position;
