#!/usr/bin/env bash
# Does deciding slow down with the number of reservations in a pool? One pool, filled with more and more of them: the
# rate of further reservations, and the median time of an availability answer with one request in flight. Writes a table
# and a plot. The empty pool comes last once more, because the tables have grown by then whatever the pool holds.
# Between filling and measuring Postgres writes back what the filling has changed.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: bench/size.sh --nats-url URL [options]

  --nats-url URL   where a berth worker serves
  --berth PATH     the berth program                      [default: target/release/berth]
  --sizes LIST     live reservations in the pool          [default: "0 1000 10000 100000 1000000 0"]
  --seconds N      each measurement                       [default: 8]
  --rest N         seconds between filling and measuring  [default: 30]
  --out PREFIX     writes PREFIX.csv and PREFIX.svg       [default: bench/size]
TEXT
}

fail() {
    echo "error: $*" >&2
    exit 1
}

here=$(cd "$(dirname "$0")" && pwd)
berth=$here/../target/release/berth
nats_url='' sizes="0 1000 10000 100000 1000000 0" seconds=8 rest=30 out=$here/size

while (($#)); do
    case $1 in
    --help | -h) usage && exit 0 ;;
    --nats-url | --berth | --sizes | --seconds | --rest | --out)
        (($# >= 2)) || fail "$1 needs a value"
        name=${1#--}
        printf -v "${name//-/_}" '%s' "$2"
        shift 2
        ;;
    *) usage >&2 && fail "what is $1?" ;;
    esac
done
[[ $nats_url ]] || { usage >&2 && fail "--nats-url is needed"; }

bench() {
    "$berth" bench --nats-url "$nats_url" --pools 1 --live "$1" --rest "$rest" --seconds "$seconds" --json "${@:2}" ||
        fail "berth bench failed"
}

echo 'live,reserve_per_second,availability_p50_ms' | tee "$out.csv"
for live in $sizes; do
    rate=$(bench "$live" --verb reserve | sed -n 's/.*"rate":\([0-9]*\).*/\1/p')
    p50=$(bench "$live" --verb availability --in-flight 1 --connections 1 | sed -n 's/.*"p50":\([0-9.]*\).*/\1/p')
    [[ $rate && $p50 ]] || fail "a figure is missing"
    echo "$live,$rate,$p50" | tee -a "$out.csv"
done
python3 "$here/plot.py" "$out.csv" "$out.svg"
echo "wrote $out.csv and $out.svg"
