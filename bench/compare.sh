#!/usr/bin/env bash
# The same reservations three times: through a running berth worker, and as one SQL transaction for each request by
# pgbench on the same Postgres, once with its default protocol, which has each statement parsed and planned every time,
# and once with prepared statements. Rounds alternate (A B C A B C …), so that all meet the same machine.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: bench/compare.sh --nats-url URL --database-url URL --pgbench PATH [options]

  --nats-url URL       where a berth worker serves
  --database-url URL   the worker's Postgres, as a role that may create the schema berth_compare
  --pgbench PATH       the pgbench program

  --berth PATH         the berth program         [default: target/release/berth]
  --rounds N           so many of all three      [default: 3]
  --seconds N          each                      [default: 10]
  --in-flight N        unanswered requests of A  [default: 1024]
  --clients N          connections of B and C    [default: 32]
TEXT
}

fail() {
    echo "error: $*" >&2
    exit 1
}

here=$(cd "$(dirname "$0")" && pwd)
berth=$here/../target/release/berth
nats_url='' database_url='' pgbench=''
rounds=3 seconds=10 in_flight=1024 clients=32

while (($#)); do
    case $1 in
    --help | -h) usage && exit 0 ;;
    --nats-url | --database-url | --pgbench | --berth | --rounds | --seconds | --in-flight | --clients)
        (($# >= 2)) || fail "$1 needs a value"
        name=${1#--}
        printf -v "${name//-/_}" '%s' "$2"
        shift 2
        ;;
    *) usage >&2 && fail "what is $1?" ;;
    esac
done
[[ $nats_url && $database_url && $pgbench ]] || { usage >&2 && fail "--nats-url, --database-url and --pgbench are needed"; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

load_schema() {
    "$pgbench" -n -M simple -t 1 -c 1 -f "$here/pgbench/schema.sql" "$database_url" >"$work/schema" 2>&1 ||
        fail "the schema could not be loaded: $(tail -n 3 "$work/schema")"
}

# Each gives its rate, requests per second.
run_berth() {
    "$berth" bench --nats-url "$nats_url" --database-url "$database_url" --in-flight "$in_flight" --pools 1000 \
        --seconds "$seconds" --json >"$work/berth" || fail "berth bench failed"
    sed -n 's/.*"rate":\([0-9]*\).*/\1/p' "$work/berth"
}

run_pgbench() {
    "$pgbench" -n -c "$clients" -j 2 -M "$1" -T "$seconds" -f "$here/pgbench/reserve.sql" "$database_url" \
        >"$work/pgbench" 2>&1 || fail "pgbench failed: $(tail -n 3 "$work/pgbench")"
    grep -q 'number of failed transactions: 0 ' "$work/pgbench" || ! grep -q 'number of failed' "$work/pgbench" ||
        fail "pgbench had failed transactions"
    sed -n 's/^tps = \([0-9]*\).*/\1/p' "$work/pgbench"
}

# min, median and max of the numbers on stdin, one a line.
spread() {
    sort -g | awk '{ v[NR] = $1 } END {
        m = NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2
        printf "min %s   median %s   max %s\n", v[1], m, v[NR]
    }'
}

load_schema
printf '%-6s %10s %16s %18s %8s %10s\n' round berth/s pgbench/s prepared/s ratio prepared
for ((round = 1; round <= rounds; round++)); do
    a=$(run_berth)
    b=$(run_pgbench simple)
    c=$(run_pgbench prepared)
    [[ $a && $b && $c ]] && ((b > 0 && c > 0)) || fail "a rate is missing (berth: '$a', pgbench: '$b', '$c')"
    ratio=$(awk -v a="$a" -v b="$b" 'BEGIN { printf "%.2f", a / b }')
    ratio_prepared=$(awk -v a="$a" -v c="$c" 'BEGIN { printf "%.2f", a / c }')
    printf '%-6s %10s %16s %18s %8s %10s\n' "$round" "$a" "$b" "$c" "$ratio" "$ratio_prepared"
    echo "$a" >>"$work/a"
    echo "$b" >>"$work/b"
    echo "$c" >>"$work/c"
    echo "$ratio" >>"$work/ratio"
    echo "$ratio_prepared" >>"$work/ratio_prepared"
done
echo
echo "berth/s             $(spread <"$work/a")"
echo "pgbench/s           $(spread <"$work/b")"
echo "pgbench prepared/s  $(spread <"$work/c")"
echo "ratio               $(spread <"$work/ratio")"
echo "ratio to prepared   $(spread <"$work/ratio_prepared")"
