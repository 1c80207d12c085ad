#!/bin/sh
# Instructions per decision, counted by valgrind's callgrind: of logging, on the caller's thread and on the writer's, and
# of queries over the virtual tables. instructions.sh [BENCHES [BIN [FOLDER]]], as the Makefile calls it.
#
# Everything is counted at one size and at twice that: the difference by the difference in decisions leaves out what
# does not grow. A count does not depend on who else uses the machine; waiting and memory are not in it.
set -eu

benches=${1:-build/release/bench} bin=${2:-bin} folder=${3:-build/bench}
small=${DECISIONS:-1048576}
command -v callgrind_annotate >/dev/null || { echo "instructions.sh: valgrind is missing: apt-get install valgrind" >&2; exit 4; }
mkdir -p "$folder"
work=$(mktemp -d "$folder/instructions.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

count() { # NAME COMMAND...: counts in $work/NAME.out
    name=$1
    shift
    valgrind --tool=callgrind --callgrind-out-file="$work/$name.out" "$@" >"$work/said" 2>&1 || { cat "$work/said" >&2; exit 4; }
    callgrind_annotate --inclusive=yes --threshold=100 "$work/$name.out" >"$work/$name.txt" 2>"$work/said"
}

# All instructions, or those of a function and all that it calls.
total() { # NAME
    awk '/PROGRAM TOTALS/ {gsub(",", ""); print $1; exit}' "$work/$1.txt"
}
inclusive() { # NAME FUNCTION
    awk -v function_name="$2" '{gsub(",", "")} $0 ~ (":" function_name "( |$|\\.)") {print $1; found = 1; exit}
        END {if (!found) print 0}' "$work/$1.txt"
}

decisions() { # SIZE
    sqlite3 -batch -readonly -cmd ".load $bin/moescope" "$work/$1/logbook.db" "SELECT sum(decisions) FROM routing_count"
}

row() { # WHAT SMALL LARGE
    awk -v what="$1" -v a="$2" -v b="$3" -v n=$((n_large - n_small)) 'BEGIN {printf "%-58s %10.2f\n", what, (b - a) / n}'
}

for size in small large; do
    n=$small
    [ $size = small ] || n=$((2 * small))
    count write_$size "$benches/logbook" --quiet --writer-only --keep --decisions "$n" --folder "$work/$size"
done
n_small=$(decisions small)
n_large=$(decisions large)

echo "Instructions per decision, between $n_small and $n_large of them (4 layers, top-2 of 16 experts, 8-bit gates)"
echo
row "logging: all threads, with the making up of steps" "$(total write_small)" "$(total write_large)"
for f in moescope_batch_routing moescope_batch_sequence moescope_batch_load moescope_batch_document_loss store_batch; do
    row "  of it $f" "$(inclusive write_small $f)" "$(inclusive write_large $f)"
done

while IFS='|' read -r what sql; do
    for size in small large; do
        count query_$size sqlite3 -batch -readonly -cmd ".load $bin/moescope" "$work/$size/logbook.db" "$sql"
    done
    row "$what" "$(total query_small)" "$(total query_large)"
done <<'END'
routing_count: count by layer, expert|SELECT layer, expert, sum(decisions) FROM routing_count GROUP BY layer, expert
routing_count: count, mean gate by domain, layer, expert|SELECT d.name, layer, expert, sum(decisions), sum(gate_sum) FROM routing_count JOIN domain AS d USING (domain_id) GROUP BY d.name, layer, expert
routing: count by layer, expert|SELECT layer, expert, count(*) FROM routing GROUP BY layer, expert
routing: mean gate by layer, expert|SELECT layer, expert, avg(gate) FROM routing GROUP BY layer, expert
routing: count by position|SELECT position, count(*) FROM routing GROUP BY position
routing: count where gate > 0.5 (SQLite filters)|SELECT count(*) FROM routing WHERE gate > 0.5
END
