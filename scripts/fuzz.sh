#!/bin/sh
# Runs fuzzing targets one after the other, each for FUZZ_SECONDS (60): fuzz.sh PROGRAM FOLDER [TARGET]...
#
#   FOLDER/corpus/TARGET   inputs that reached something new, kept from one time to the next
#   FOLDER/start/, FOLDER/found/   a sample of them to begin with, and what was new this time
#   FOLDER/crashes/        inputs that a target did not survive, as TARGET-KIND-HASH
#   FOLDER/TARGET.log      what libFuzzer said
#
# Prints a line a target: executions, edges covered, inputs kept. Exit 1 when there was a crash: run the program
# with FUZZ_TARGET=TARGET on its file to see it again.
set -u

[ $# -ge 2 ] || { echo "usage: fuzz.sh PROGRAM FOLDER [TARGET]..." >&2; exit 2; }
program=$1
folder=$2
shift 2
if [ $# -eq 0 ]; then
    names=$(env -u FUZZ_TARGET "$program") || exit
    # shellcheck disable=SC2086 # names, one a word
    set -- $names
fi
mkdir -p "$folder/crashes" || exit 4
status=0
for target; do
    corpus=$folder/corpus/$target
    start=$folder/start/$target
    found=$folder/found/$target
    rm -rf "$start" "$found"
    mkdir -p "$corpus" "$start" "$found"
    FUZZ_TARGET=$target FUZZ_SEEDS=$corpus "$program" || exit
    case $target in
    logbook | rows | differ) profile=0 most=100 ;; # whole programs: all of a corpus would take all the time
    *) profile=1 most=2000 ;;
    esac
    find "$corpus" -type f | shuf -n "$most" | xargs cp -t "$start"
    # One small input may take neither memory without end nor time without end.
    FUZZ_TARGET=$target nice -n 19 "$program" "$found" "$start" -dict="$corpus.words" -artifact_prefix="$folder/crashes/$target-" \
        -max_total_time="${FUZZ_SECONDS:-60}" -max_len=262144 -malloc_limit_mb=512 -rss_limit_mb=1536 -timeout=20 \
        -use_value_profile=$profile -len_control=100 -print_final_stats=1 >"$folder/$target.log" 2>&1
    result=$?
    find "$found" -type f -exec mv -t "$corpus" {} +
    [ $result = 0 ] || status=1
    awk -v target="$target" -v result=$result '
        /cov: [0-9]/ { for (i = 1; i < NF; i++) if ($i == "cov:") edges = $(i + 1) }
        /^stat::number_of_executed_units/ { runs = $2 }
        /^stat::average_exec_per_sec/ { speed = $2 }
        /SUMMARY: / { summary = $0 }
        END { printf "%-10s %9d runs %6d/s %6d edges  %s\n", target, runs, speed, edges,
              result ? "CRASHED: " summary : "nothing found" }' "$folder/$target.log"
done
exit $status
