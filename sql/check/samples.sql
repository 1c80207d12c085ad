-- A sample lies within its document. (Imported documents may not say how long they are.)
WITH violation AS (
    SELECT 'sample ' || s.sample_id || ': tokens ' || s."offset" || ' to ' || (s."offset" + s.n_tokens) || ' of document ''' ||
           d.name || ''', which has ' || d.n_tokens AS detail
    FROM sample AS s JOIN document AS d USING (document_id)
    WHERE s."offset" < 0 OR s.n_tokens < 1 OR (s."offset" + s.n_tokens > d.n_tokens AND d.n_tokens > 0)
)
SELECT (SELECT count(*) FROM sample) AS checked,
       count(*) AS violations,
       (SELECT detail FROM violation LIMIT 1) AS detail
FROM violation;
