-- On a network file system: what a WAL holds goes into the file, from then on a journal that is rolled back
-- after a crash. Such a file is safe from power cuts only when every commit reaches the disk.
PRAGMA journal_mode = DELETE;
PRAGMA synchronous = 2;
PRAGMA locking_mode = NORMAL;
SELECT count(*) FROM sqlite_schema; -- only now are the locks let go
