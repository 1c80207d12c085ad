-- Before a VACUUM: its copy's cache is sized as if pages had 4 KiB; this is 32 MiB for it, where the usual setting would
-- be 256.
PRAGMA cache_size = -4096;
