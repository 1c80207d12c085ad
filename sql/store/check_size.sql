-- How many things the check decodes one by one.
SELECT (SELECT count(*) FROM sample) + (SELECT count(*) FROM sequence) + (SELECT count(*) FROM load_block);
