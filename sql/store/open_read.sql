-- What a reader's connection is set to.
PRAGMA query_only = 1;
PRAGMA mmap_size = 0;      -- a mapped file on a file system that goes away is a SIGBUS
PRAGMA cache_size = -32768; -- 32 MiB
PRAGMA trusted_schema = 0; -- the file may come from elsewhere
