-- VACUUM INTO writes, though not into the logbook; a connection that is open read-only still cannot.
PRAGMA query_only = 0;
