"""berth beside what somebody would take instead, or beside a bound of the machine."""

import contextlib

import loads

from .scenario import Check, Scenario, Side, ratio

LOCKS = ("--verb", "lock-unlock", "--tenants", 64)


def reserve(bench, _):
    return loads.reserve(bench)


def locks(in_flight, *flags):
    """Taking and giving back, one after the other, each with a key."""
    chosen = flags or LOCKS
    return lambda bench, _: loads.berth(bench, *chosen, in_flight=in_flight)


@contextlib.contextmanager
def with_schema(bench):
    loads.pgbench_schema(bench)
    yield


PGBENCH = Scenario(
    "pgbench",
    "berth's reserve beside the same decision as one SQL transaction a request by pgbench, five statements, 32 clients, "
    "on the same Postgres. The transaction's outbox is read by nobody; berth publishes each event to JetStream.",
    [
        Side("berth", reserve),
        Side("pgbench", lambda bench, _: loads.pgbench(bench)),
        Side("pgbench, prepared", lambda bench, _: loads.pgbench(bench, "prepared")),
    ],
    [
        ratio("reserve / a transaction a request", "berth", "pgbench", 15),
        ratio("reserve / the same with prepared statements", "berth", "pgbench, prepared"),
    ],
    prepare=with_schema,
)

BULK = Scenario(
    "bulk",
    "berth's reserve beside Postgres merely inserting the rows that berth has just written (hold, event, receipt) under "
    "new ids into tables with the same columns, indexes and settings: a small program of Rust, binary arrays, 256 "
    "reservations a statement, one round trip and one commit a statement, one connection. Nothing is decided, no lane is "
    "locked, nothing is published.",
    [Side("berth", reserve), Side("bulk insert", lambda bench, _: loads.bulk(bench))],
    [ratio("reserve / bulk insert of the same rows", "berth", "bulk insert", 0.7)],
    ("loader",),
)


def redis(kind, in_flight, fsync="always", connections=2):
    return lambda bench, _: loads.redis(bench, kind, in_flight, fsync, connections)


REDIS_SCRIPT = Scenario(
    "redis-script",
    "Lock and unlock in turn with an idempotency key, a fencing token and an event each: berth beside Redis with one Lua "
    "script a request and appendfsync always. Redis's client writes pipelines over two connections; beside it the same "
    "from as many connections as there are requests in flight, as clients that know nothing of each other ask.",
    [
        side
        for count in (64, 512, 1024)
        for side in (
            Side(f"berth {count}", locks(count)),
            Side(f"redis {count}", redis("redis-script", count)),
        )
    ]
    + [
        Side("redis 1024, a connection each", redis("redis-script", 1024, connections=1024)),
        Side("berth 1024, one tenant", locks(1024, "--verb", "lock-unlock", "--tenants", 1)),
        Side("berth 1024, 16 a message", locks(1024, *LOCKS, "--items", 16)),
    ],
    [
        ratio("1,024 in flight, locks of 64 tenants", "berth 1024", "redis 1024", 1.5),
        ratio("1,024 in flight / 1,024 connections", "berth 1024", "redis 1024, a connection each"),
        ratio("1,024 in flight, 16 locks a message", "berth 1024, 16 a message", "redis 1024"),
        ratio("1,024 in flight, locks of one tenant", "berth 1024, one tenant", "redis 1024"),
        ratio("512 in flight", "berth 512", "redis 512"),
        ratio("64 in flight", "berth 64", "redis 64"),
    ],
    ("loader", "redis"),
)

REDIS_PLAIN = Scenario(
    "redis-plain",
    "Lock and unlock in turn, 1,024 in flight: berth, with keys and events, beside the plain lock that Redis's own "
    "documentation recommends (SET NX PX; compare and delete), which has neither key nor fence nor event.",
    [
        Side("berth", locks(1024)),
        Side("redis, fsync always", redis("redis-plain", 1024)),
        Side("berth, 16 a message", locks(1024, *LOCKS, "--items", 16)),
        Side("redis, fsync every second", redis("redis-plain", 1024, "everysec")),
    ],
    [
        ratio("lock and unlock / plain Redis, appendfsync always", "berth", "redis, fsync always", 0.4),
        ratio("the same, 16 locks a message", "berth, 16 a message", "redis, fsync always"),
        ratio("lock and unlock / plain Redis, every second", "berth", "redis, fsync every second"),
        ratio("the same, 16 locks a message", "berth, 16 a message", "redis, fsync every second"),
    ],
    ("loader", "redis"),
)


def etcd(in_flight):
    return lambda bench, _: loads.etcd(bench, in_flight)


ETCD = Scenario(
    "etcd",
    "Lock and unlock in turn: berth beside one transaction each in etcd (put under a lease where there is no version; "
    "delete where the value is the token), which has no idempotency key.",
    [
        side
        for count in (64, 512)
        for side in (Side(f"berth {count}", locks(count)), Side(f"etcd {count}", etcd(count)))
    ],
    [
        ratio("lock and unlock / etcd, 512 in flight", "berth 512", "etcd 512", 6),
        ratio("lock and unlock / etcd, 64 in flight", "berth 64", "etcd 64", 6),
    ],
    ("loader", "etcd"),
)

QUEUE = Scenario(
    "queue",
    "berth's reserve beside jobs of graphile-worker, each the transaction of the pgbench comparison with prepared "
    "statements. The jobs are put into the queue beforehand, in bulk; only carrying them out is measured.",
    [Side("berth", reserve), Side("graphile-worker", lambda bench, _: loads.queue(bench))],
    [ratio("reserve / a job a request", "berth", "graphile-worker", 5)],
    ("queue",),
    prepare=with_schema,
)


def p50(figures, label):
    return figures[label]["latency_ms"]["p50"]


def latency_ratio(figures):
    return p50(figures, "berth 1") / (p50(figures, "echo 1") + p50(figures, "pgbench, one client"))


IN_FLIGHT = (1, 64, 512, 1024)


def echo(in_flight):
    return lambda bench, _: loads.echo(bench, in_flight)


def reserve_with(in_flight):
    return lambda bench, _: loads.reserve(bench, in_flight=in_flight)


ECHO = Scenario(
    "echo",
    "The bound that NATS sets: a responder that echoes each request, beside berth's reserve. And the time of one request "
    "alone: beside an echo and the transaction of the pgbench comparison by one client, one after the other.",
    [Side(f"berth {count}", reserve_with(count)) for count in IN_FLIGHT]
    + [Side(f"echo {count}", echo(count)) for count in IN_FLIGHT]
    + [Side("pgbench, one client", lambda bench, _: loads.pgbench(bench, clients=1))],
    [
        Check("median of reserve, one in flight / (echo + transaction)", latency_ratio, 1.5, is_least=False),
        ratio("reserve / echo, 1,024 in flight", "berth 1024", "echo 1024"),
    ],
    ("loader",),
    prepare=with_schema,
)

SCENARIOS = [PGBENCH, BULK, REDIS_SCRIPT, REDIS_PLAIN, ETCD, QUEUE, ECHO]
