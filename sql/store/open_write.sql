-- What a writer's connection is set to. The page size counts only while the file is empty.
PRAGMA page_size = 32768;
PRAGMA mmap_size = 0;
PRAGMA cache_size = -32768;
PRAGMA foreign_keys = 1;
PRAGMA secure_delete = 0; -- a resumed run's deleted steps need not be wiped
PRAGMA synchronous = 1;   -- NORMAL: in WAL mode a power cut may lose the last steps, never the file
