-- What file this is: both 0 in an empty one.
SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema) AS relations
FROM pragma_application_id, pragma_user_version;
