-- Free pages go, what stays is written anew in order. The page size stays.
VACUUM main;
