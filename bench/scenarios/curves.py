"""What is drawn and has no goal."""

import loads

from .peers import etcd, locks, redis
from .scenario import Scenario, Side

IN_FLIGHT = (1, 4, 16, 64, 256, 1024)
LIVE = (0, 1_000, 10_000, 100_000, 1_000_000)


def each(name, run_with):
    return [Side(f"{name} {count}", run_with(count)) for count in IN_FLIGHT]


CURVE = Scenario(
    "in-flight",
    "Throughput and latency of lock and unlock against how many requests are unanswered: berth (64 tenants), Redis (one "
    "script, appendfsync always), etcd.",
    each("berth", locks)
    + each("redis", lambda count: redis("redis-script", count))
    + each("etcd", etcd),
    needs=("loader", "redis", "etcd"),
    rounds_max=1,
)


def with_live(count):
    """Filled once; the rate of further reservations, then the time of a look with one request in flight."""

    def run(bench, _):
        live = ("--pools", 1, "--live", bench.size(count, min(count, 1_000)), "--rest", bench.size(15, 0))
        figures = loads.berth(bench, "--verb", "reserve", *live, checks_rows=False)
        look = loads.berth(bench, "--verb", "availability", *live, "--connections", 1, in_flight=1, checks_rows=False)
        return {**figures, "availability_ms": look["latency_ms"]}

    return run


SIZES = Scenario(
    "sizes",
    "Reserve on a pool, and the median of availability with one request in flight, against the number of reservations "
    "that the pool has already. The tables grow from one size to the next.",
    [Side(f"{count}", with_live(count)) for count in LIVE],
    rounds_max=1,
)

SCENARIOS = [CURVE, SIZES]
