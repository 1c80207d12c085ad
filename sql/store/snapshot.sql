-- A compact copy of what is committed, not in WAL mode, to a file that is empty or not there.
VACUUM main INTO :path;
