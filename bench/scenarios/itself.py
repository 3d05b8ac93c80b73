"""berth beside itself: what must not slow it down, and what it may use."""

import contextlib
import threading
import time

import loads
from processes import until

from .scenario import Check, Scenario, Side, ratio


def p99(label):
    return lambda figures: figures[label]["latency_ms"]["p99"]


HOT_POOL = Scenario(
    "hot",
    "Reserve on a single pool beside reserve over 1,000 pools, 1,024 in flight, a key each.",
    [
        Side("one pool", lambda bench, _: loads.reserve(bench, pools=1)),
        Side("1,000 pools", lambda bench, _: loads.reserve(bench)),
    ],
    [ratio("one pool / 1,000 pools", "one pool", "1,000 pools", 0.8)],
)


def at_half(bench, figures):
    half = max(1, round(figures["closed loop"]["rate"] / 2))
    return loads.reserve(bench, "--rate", half)


TAIL = Scenario(
    "tail",
    "Reserve at half of the greatest throughput of the same round, open loop: each request's time counts from the "
    "instant at which it was due to be sent.",
    [Side("closed loop", lambda bench, _: loads.reserve(bench)), Side("half of it", at_half)],
    [
        Check(
            "p99 / p50 at half of the greatest throughput",
            lambda figures: p99("half of it")(figures) / figures["half of it"]["latency_ms"]["p50"],
            5,
            is_least=False,
        ),
        Check("p99 at half of it", p99("half of it"), unit="ms"),
        Check("how late the last request was sent", lambda figures: figures["half of it"]["behind_ms"], unit="ms"),
    ],
)


def filled(bench, _):
    """A checkpoint in the middle of the rest: what filling has changed is written back before anything is measured."""
    live, rest = bench.size(1_000_000, 1_000), bench.size(30, 0)
    worker = bench.stack.worker
    reserved = 'berth_requests_total{code="ok",verb="reserve"}'
    before = worker.metrics().get(reserved, 0)

    def write_back():
        until(lambda: worker.metrics().get(reserved, 0) - before >= live or time.sleep(0.2), "filling", 1800)
        bench.stack.sql("checkpoint")

    thread = threading.Thread(target=write_back, daemon=True)
    thread.start()
    return loads.reserve(bench, "--live", live, "--rest", rest, pools=1, checks_rows=False)


LIVE = Scenario(
    "live",
    "Reserve on one pool with 1,000,000 live reservations beside a new, empty pool right after, in the same database, so "
    "that the tables are as large for both. After filling, 30 seconds of rest and a checkpoint.",
    [
        Side("a million live", filled),
        Side("empty pool", lambda bench, _: loads.reserve(bench, pools=1, checks_rows=False)),
    ],
    [ratio("a pool with 1,000,000 live reservations / an empty one", "a million live", "empty pool", 0.9)],
)

# As berth's batches insert them: some at a time, sorted by id, in the order of their age.
FILL_RECEIPTS = """
    insert into receipt (
        id, tenant, verb, request, body, event_lane, event_seq, event_hold_id, event_version, body_from, body_length, at
    )
    select new.id, model.tenant, model.verb, model.request, model.body, model.event_lane, model.event_seq,
        model.event_hold_id, model.event_version, model.body_from, model.body_length,
        now() - interval '6 days' + ({at} + new.number) * interval '5 days' / {all}
    from (select gen_random_uuid() as id, number from generate_series(1, {part}) as number) as new
    join (
        select row_number() over () - 1 as number, receipt.* from receipt where error_code is null limit {models}
    ) as model on model.number = new.number % {models}
    order by new.id"""


@contextlib.contextmanager
def with_receipts(bench):
    stack = bench.stack
    urls = {root: stack.database(root) for root in ("few", "many")}
    with contextlib.ExitStack() as workers:
        bench.kept = {root: workers.enter_context(stack.another_worker(root, url)) for root, url in urls.items()}
        for worker in bench.kept.values():
            loads.reserve(bench, worker=worker, checks_rows=False, seconds=1, warmup=0)
        count, part = bench.size(10_000_000, 10_000), bench.size(200_000, 5_000)
        for at in range(0, count, part):
            stack.sql(FILL_RECEIPTS.format(at=at, all=count, part=part, models=100), urls["many"])
        for url in urls.values():
            stack.sql("vacuum analyze", url)
        yield


def on(root):
    return lambda bench, _: loads.reserve(bench, worker=bench.kept[root])


RECEIPTS = Scenario(
    "receipts",
    "Reserve with 10,000,000 stored replies in the database beside one with hardly any: two databases of the same "
    "Postgres, a worker each, of which one idles. The replies are real ones under random ids, inserted as berth does.",
    [Side("10,000,000 receipts", on("many")), Side("few receipts", on("few"))],
    [ratio("10,000,000 receipts / few", "10,000,000 receipts", "few receipts", 0.9)],
    prepare=with_receipts,
)


def with_another(bench, _):
    with bench.stack.another_worker():
        return loads.reserve(bench, pools=1)


TWO_WORKERS = Scenario(
    "two-workers",
    "Reserve on a single hot pool through two workers beside one: what arrives at the one that is not at home in the "
    "pool's lane is passed on.",
    [Side("two workers", with_another), Side("one worker", lambda bench, _: loads.reserve(bench, pools=1))],
    [ratio("two workers / one", "two workers", "one worker", 0.9)],
)


def quantile(before, after, name, share):
    """As Prometheus does it: linear within the bucket, of what was counted in between."""
    prefix = f'{name}_bucket{{le="'
    bounds = {key: key[len(prefix) :].split('"')[0] for key in after if key.startswith(prefix)}
    counts = sorted((float(bound), after[key] - before.get(key, 0)) for key, bound in bounds.items())
    wanted, low, below = counts[-1][1] * share, 0.0, 0.0
    for bound, count in counts:
        if count >= wanted and count > below:
            return low if bound == float("inf") else low + (bound - low) * (wanted - below) / (count - below)
        low, below = bound, count
    return 0.0


def with_lag(bench, _):
    """The load, and every fifth of a second a look at how far behind the relay is."""
    worker, seen, is_over = bench.stack.worker, [], threading.Event()

    def look():
        while not is_over.wait(0.2):
            found = worker.metrics()
            seen.append((found["berth_requests_in_flight"], found["berth_relay_backlog_events"]))

    before, thread = worker.metrics(), threading.Thread(target=look, daemon=True)
    thread.start()
    figures = loads.reserve(bench)
    is_over.set()
    thread.join()
    lag = quantile(before, worker.metrics(), "berth_relay_lag_seconds", 0.99)
    full = max((requests for requests, _ in seen), default=0)
    backlog = [events for requests, events in seen if requests > full / 2]
    return {**figures, "lag_p99_ms": lag * 1000, "backlog": backlog[-1] if backlog else 0}


EVENTS = Scenario(
    "events",
    "How far the events are behind while reserve runs at full speed: from the worker's own /metrics over the run. The "
    "lag is that of the oldest event of each batch that is published, its p99 linear within the histogram's bucket; the "
    "backlog is what the worker had counted when the load ended.",
    [Side("berth", with_lag)],
    [
        Check("p99 of the relay's lag", lambda figures: figures["berth"]["lag_p99_ms"], 200, is_least=False, unit="ms"),
        Check("events not yet published at the end", lambda figures: figures["berth"]["backlog"], unit="events"),
    ],
)


def memory(bench, _):
    stack = bench.stack
    name = f"memory_{time.time_ns()}"
    with stack.another_worker(name, stack.database(name)) as worker:
        idle = worker.memory_megabytes("VmRSS")
        figures = loads.reserve(bench, worker=worker)
        return {**figures, "idle_mb": idle, "peak_mb": worker.memory_megabytes("VmHWM")}


MEMORY = Scenario(
    "memory",
    "Resident memory of a worker as a process of its own, from /proc: once it is ready (VmRSS), and the most it had after "
    "reserve at full speed (VmHWM).",
    [Side("worker", memory)],
    [
        Check("a worker that idles", lambda figures: figures["worker"]["idle_mb"], 50, is_least=False, unit="MB"),
        Check("its peak under full load", lambda figures: figures["worker"]["peak_mb"], 250, is_least=False, unit="MB"),
    ],
)

SCENARIOS = [HOT_POOL, TAIL, LIVE, RECEIPTS, TWO_WORKERS, EVENTS, MEMORY]
