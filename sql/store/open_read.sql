-- What a reader's connection is set to. The schema stays trusted although the file may come from elsewhere: in
-- SQLite 3.40 an untrusted view may not use json's ->>, which expert_load does; a reader that cannot write and
-- cannot load extensions has no function in it that could do harm.
PRAGMA query_only = 1;
PRAGMA cell_size_check = 1; -- a damaged page is found before it is used
PRAGMA mmap_size = 0;      -- a mapped file on a file system that goes away is a SIGBUS
PRAGMA cache_size = -32768; -- 32 MiB
