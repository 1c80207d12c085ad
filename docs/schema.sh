#!/bin/sh
# Prints docs/schema.md: every relation of a logbook with its columns, from the comments in sql/schema.sql and
# sql/views/. Run from the repository's root: sh docs/schema.sh > docs/schema.md
set -eu
export LC_ALL=C

cat <<'TEXT'
# The relations of a logbook

Made from `sql/schema.sql` and `sql/views/` by `docs/schema.sh`; change those, not this.

A logbook is one SQLite file. Everything below can be queried by a stock `sqlite3` shell of version 3.40, by
`moescope sql DB`, and by whatever else reads SQLite. Views are decoded from packed blobs as they are read: give
`routing`, `token_loss` and `probability` a run, a step or a sequence to look at. What starts with an underscore or
has "block" in its name is how things are stored, and may change. Below each relation is a query to begin with, for any
logbook; [questions.md](questions.md) goes from what one wants to know to the query that answers it.

TEXT

awk '
function cell(text) {
    gsub(/\|/, "\\|", text)
    gsub(/</, "\\&lt;", text)
    gsub(/&lt;br>/, "<br>", text)
    return text
}
function note_of(line,    at) {
    at = index(line, "-- ")
    return at ? substr(line, at + 3) : ""
}
function begin(kind, name) {
    printf "## %s%s\n\n", name, kind == "VIEW" ? " (view)" : ""
    if (prose != "") printf "%s\n\n", prose
    example = code; code = ""
    printf "| column | %smeaning |\n|---|%s---|\n", kind == "VIEW" ? "" : "type | ", kind == "VIEW" ? "" : "---|"
    view = kind == "VIEW"; inside = 1; prose = ""; column = ""
}
function flush_column() {
    if (column == "") return
    # A dimension means the same further on, until it is explained anew.
    if (meaning != "") {
        if (column !~ /^(name|value|domain_id)$/) known[column] = meaning
    } else if (column == name "_id") meaning = "which one"
    else if (column in known) meaning = known[column]
    else if (column ~ /_id$/) meaning = "of `" substr(column, 1, length(column) - 3) "`"
    printf "| `%s` |%s %s |\n", column, view ? "" : " " type " |", cell(meaning)
    column = ""
}
function finish() {
    flush_column()
    if (keys != "") printf "\n%s\n", keys
    if (example != "") printf "\n```sql\n%s```\n", example
    print ""
    inside = 0; keys = ""
}
function constraint(line) {
    sub(/^ +/, "", line)
    sub(/ *--.*/, "", line)
    sub(/,$/, "", line)
    keys = keys (keys == "" ? "" : ", ") "`" line "`"
}
FNR == 1 { prose = ""; code = "" }
/^CREATE (TABLE|VIEW)/ {
    name = $3
    one_line = $0 ~ /\);?$|STRICT;$/
    begin($2, name)
    if (one_line) {
        line = $0
        sub(/^[^(]*\(/, "", line); sub(/\)[^)]*$/, "", line)
        split(line, word, " ")
        column = word[1]; type = tolower(word[2]); meaning = ""
        finish()
    }
    next
}
inside && /^\)/ { finish(); next }
inside && /^ +-- / { meaning = meaning (meaning == "" ? "" : "<br>") note_of($0); next }
inside && /^    [A-Z]/ { flush_column(); constraint($0); next }
inside {
    flush_column()
    column = $1; sub(/,$/, "", column); gsub(/"/, "", column)
    type = view ? "" : tolower($2); sub(/,$/, "", type)
    meaning = note_of($0)
    if (meaning == "" && match($0, /IN \(.*\)/)) {
        meaning = substr($0, RSTART + 4, RLENGTH - 4)
        gsub(/[()]|\047/, "", meaning)
    }
    next
}
/^--     / && !inside { code = code substr($0, 8) "\n"; next } # an example, indented as in Markdown
/^-- / { prose = prose (prose == "" ? "" : " ") substr($0, 4); next }
/^$/ { prose = "" }
' sql/schema.sql sql/views/*.sql
