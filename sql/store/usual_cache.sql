-- After it: what store/open_read and store/open_write set.
PRAGMA cache_size = -32768;
