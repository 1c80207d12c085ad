-- On a network file system, before the first look at the file: without memory shared with others, a WAL that
-- is there can be read by one program only.
PRAGMA locking_mode = EXCLUSIVE;
