#!/usr/bin/env bash
# A hundred thousand locks that run out at the same instant: how long until the last of their events is in the stream,
# and how long commands of the same tenants wait meanwhile. Each lock has to run out once, its event behind that of its
# grant, and nobody may be shown one as held after its instant. Starts servers and a worker of its own, as the tests do
# (see scripts/servers.py); the tenants of one run share the locks evenly. All locks of a tenant are in one lane.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: bench/expiry.sh [options]

  --berth PATH    the berth program         [default: target/release/berth]
  --rounds N      so many of each           [default: 3]
  --tenants LIST  among how many tenants    [default: "1 64"]
TEXT
}

fail() {
    echo "error: $*" >&2
    exit 1
}

cd "$(dirname "$0")/.."
berth=target/release/berth rounds=3 tenants="1 64"

while (($#)); do
    case $1 in
    --help | -h) usage && exit 0 ;;
    --berth | --rounds | --tenants)
        (($# >= 2)) || fail "$1 needs a value"
        name=${1#--}
        printf -v "$name" '%s' "$2"
        shift 2
        ;;
    *) usage >&2 && fail "what is $1?" ;;
    esac
done

[[ -x $berth ]] || fail "$berth is missing: cargo build --release makes it"
berth=$(realpath "$berth")

# Only the worker has to be fast: what asks and looks is built as for any test.
cargo test --quiet --test it --no-run || fail "the test could not be built"
for ((round = 1; round <= rounds; round++)); do
    for count in $tenants; do
        BERTH_TEST_WORKER=$berth BERTH_EXPIRY_TENANTS=$count cargo test --quiet --test it -- --ignored --exact --nocapture \
            locks::expiry::a_hundred_thousand_locks_run_out_within_ten_seconds | grep Figures || fail "the test failed"
    done
done
