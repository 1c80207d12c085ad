# The laws of the house that a line of C can break:
#
#   awk -v programs="base/moescope.c ..." -f scripts/laws.awk FILE...
#
#   layer     base <- metrics <- sql <- analysis, care and import, base <- metrics <- engine; only train, route, ablate and record join
#             engine and sql, and ablate, which shows what it has made, analysis as well
#   seam      sqlite3.h is included under sql/ only, and where tests make SQLite fail; cblas.h in engine/blas.c only;
#             FreeType in corpora/shared/face.c only; the public sql/moescope.h in sql/logbook.h only, which adapts it
#   sql       SQL text lives in .sql files (BEGIN, COMMIT and ROLLBACK are no text)
#   library   only programs print and exit
#   unsafe    functions that cannot be used safely, or have a better sibling
#   type      no typedef of a struct
#   guard     a header's guard is its path
#   long      a note when a file has more than 700 lines
#
# A line that must break a law says so: a comment "lint: allow LAW, reason" on it.

BEGIN {
    split(programs, list, " ")
    for (i in list)
        program[list[i]] = 1
    may["base"] = "base"
    may["metrics"] = "base metrics"
    may["sql"] = "base metrics sql"
    may["analysis"] = "base metrics sql analysis plots"
    may["care"] = "base metrics sql"
    may["engine"] = "base metrics engine"
    may["corpora"] = "base metrics engine corpora"
    may["import"] = "base metrics sql import"
    may["bench"] = "base metrics engine sql analysis bench"
    may["tests"] = "base metrics engine sql analysis corpora import tests"
    may["engine/ablate.c"] = "base engine analysis"
    joins["engine/ablation.c"] = joins["engine/train.c"] = joins["engine/route.c"] = joins["engine/record.c"] = joins["engine/record.h"] = 1
    # These three speak for the programs: help and last words, "-" as an output, progress.
    speaks["base/options.c"] = speaks["base/file.c"] = speaks["base/progress.c"] = 1
    word = "(^|[^A-Za-z0-9_.>])"
    unsafe = word "(strcpy|stpcpy|strcat|strncpy|strncat|sprintf|vsprintf|gets|strtok|localtime|gmtime|ctime" \
        "|asctime|atoi|atol|atoll|atof|rand|srand|random|alloca|system|popen|tmpnam|tempnam|mktemp|bcopy|bzero) *\\("
    prints = word "(printf|vprintf|puts|putchar|perror|err|errx|warn|warnx) *\\(|" word "(stdout|stderr)($|[^A-Za-z0-9_])"
    exits = word "(exit|abort|quick_exit|raise) *\\("
    statement = "^[ (]*(SELECT|INSERT|UPDATE|DELETE|CREATE|DROP|ALTER|PRAGMA|ATTACH|DETACH|VACUUM|REPLACE|" \
        "EXPLAIN)( |$)|^[ (]*WITH [a-z_]+ AS|" \
        "[Ss]elect .* from |[Ii]nsert into |[Dd]elete from |[Cc]reate (table|view|index|temp)|^pragma "
}

function found(law, text) {
    if ($0 !~ "lint: allow " law ",")
        print FILENAME ":" FNR ": " law ": " text
}

function end_of_file() {
    if (file == "")
        return
    if (lines > 700)
        print file ":" lines ": note: long: " lines " lines; what could have a file of its own?"
    if (header && !guarded)
        print file ":1: guard: no #ifndef " guard
}

FNR == 1 {
    end_of_file()
    file = FILENAME
    folder = file
    sub("/.*", "", folder)
    header = file ~ /\.h$/
    guarded = 0
    guard = toupper(file)
    gsub("[/.-]", "_", guard)
    in_comment = 0
    library = folder != "tests" && !(file in program)
}

{ lines = FNR }

header && $1 == "#ifndef" && $2 == guard { guarded = 1 }

/^[ \t]*#[ \t]*include/ {
    if (/["<]sqlite3(ext)?\.h[">]/ && folder != "sql" && file != "tests/faulty.c")
        found("seam", "sqlite3.h is included under sql/ only")
    if (/["<]cblas\.h[">]/ && file != "engine/blas.c")
        found("seam", "cblas.h is included in engine/blas.c only")
    if (/"sql\/moescope\.h"/ && file != "sql/logbook.h")
        found("seam", "include sql/logbook.h, which knows the names inside")
    if (/<ft2build\.h>/ && file != "corpora/shared/face.c")
        found("seam", "ft2build.h is included in corpora/shared/face.c only")
    if (/"/) {
        target = $0
        sub(/^[^"]*"/, "", target)
        sub(/".*$/, "", target)
        top = target
        if (!sub("/.*", "", top))
            found("layer", "include \"" target "\" by its path from the top")
        else if ((" " may[file in may ? file : folder] " ") !~ (" " top " ") && !(top == "sql" && file in joins))
            found("layer", folder " may not include " target)
    }
    next
}

# The line's code without comments and strings, and its strings.
{
    rest = $0
    code = strings = ""
    while (rest != "") {
        if (in_comment) {
            at = index(rest, "*/")
            if (!at)
                break
            rest = substr(rest, at + 2)
            in_comment = 0
            code = code " "
        } else if (match(rest, /"|'|\/\*|\/\//)) {
            opener = substr(rest, RSTART, RLENGTH)
            code = code substr(rest, 1, RSTART - 1)
            rest = substr(rest, RSTART + RLENGTH)
            if (opener == "//")
                break
            if (opener == "/*") {
                in_comment = 1
                continue
            }
            pattern = opener == "\"" ? "^([^\"\\\\]|\\\\.)*\"" : "^([^'\\\\]|\\\\.)*'"
            if (!match(rest, pattern))
                break
            if (opener == "\"")
                strings = strings "\n" substr(rest, 1, RLENGTH - 1)
            code = code opener opener
            rest = substr(rest, RLENGTH + 1)
        } else {
            code = code rest
            rest = ""
        }
    }
}

match(code, unsafe) {
    name = substr(code, RSTART, RLENGTH)
    gsub(/[^a-z0-9]/, "", name)
    found("unsafe", name " has a safer sibling (snprintf, strtol, strtok_r, localtime_r, mkstemp...)")
}
code ~ /typedef +(struct|union|enum)/ { found("type", "write struct, union or enum out") }
library && code ~ exits { found("library", "libraries return errors and never exit") }
library && !(file in speaks) && code ~ prints { found("library", "only programs print") }
folder != "tests" && strings != "" {
    n = split(strings, part, "\n")
    for (i = 2; i <= n; i++)
        if (part[i] ~ statement)
            found("sql", "SQL text belongs into a .sql file")
}

END { end_of_file() }
