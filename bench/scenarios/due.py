"""Very many transitions at one instant, and what commands notice of it."""

import datetime
import json
import time
import uuid

import loads
from nats import Nats
from processes import Failed, until

from .scenario import Check, Scenario, Side

ITEMS = 500
POOLS = 64
# All have to be there before the instant comes.
LEAD_SECONDS = 60


def commands(bench):
    """Reserves at a constant rate, well below what is possible."""
    return loads.reserve(bench, "--rate", bench.size(1_000, 100))


def starts(bench, count, tenant):
    """Reservations that all start at one instant; gives it, in seconds since 1970."""
    stack, instant = bench.stack, int(time.time()) + bench.size(LEAD_SECONDS, 5)
    window = [time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at)) for at in (instant, instant + 3_600)]
    put = lambda pool: json.dumps({"pool": f"{tenant}-{pool}", "capacity": count, "grain_seconds": 1})
    reserve = lambda number: json.dumps(
        {"pool": f"{tenant}-{number % POOLS}", "start_time": window[0], "end_time": window[1], "quantity": 1}
    )
    with Nats(stack.nats_url) as nats:
        nats.ask_all(("berth.admin.v1.pool_put", put(pool)) for pool in range(POOLS))
        nats.ask_all((f"berth.v1.{tenant}.reserve", reserve(number)) for number in range(count))
    return instant


def locks(tenants):
    def prepared(bench, count, tenant):
        """Locks that all run out at one instant. Nobody can ask for an instant, so all are given one."""
        stack, per_tenant = bench.stack, count // tenants
        item = lambda number: {"requester": "a", "resource": f"lock-{number}", "ttl_seconds": 86_400}
        body = lambda first: json.dumps([item(number) for number in range(first, min(first + ITEMS, per_tenant))])
        with Nats(stack.nats_url) as nats:
            nats.ask_all(
                (f"berth.v1.{tenant}-{number}.lock", body(first))
                for first in range(0, per_tenant, ITEMS)
                for number in range(tenants)
            )
        instant = int(time.time()) + bench.size(12, 2)
        at = f"to_timestamp({instant})"
        stack.sql(f"update hold set expires_at = {at}, due_at = {at} where kind = 'lock' and tenant like '{tenant}-%'")
        stack.sql("vacuum analyze hold")
        return instant

    return prepared


def last_told(bench, names):
    """When the last event of these tenants got into the stream, in seconds since 1970."""
    behind = "select count(*) from lane join relay_cursor as cursor using (lane) where cursor.seq < lane.seq"
    until(lambda: bench.stack.sql(behind) == [["0"]], "publishing")
    times = []
    with Nats(bench.stack.nats_url) as nats:
        for name in names:
            wanted = json.dumps({"last_by_subj": f"berth.event.v1.{name}.>"})
            answer = json.loads(nats.ask("$JS.API.STREAM.MSG.GET.BERTH_EVENTS", wanted))
            # Nanoseconds, of which Python reads six digits.
            times.append(datetime.datetime.fromisoformat(answer["message"]["time"][:26].rstrip("Z") + "+00:00"))
    return max(times).timestamp()


def happens(prepared, event, tenants=1):
    """Commands while all of them are due: measuring begins before the instant and ends long after."""

    def run(bench, _):
        count = bench.size(100_000, 500) // tenants * tenants
        tenant = f"due-{uuid.uuid4().hex[:8]}"
        instant = prepared(bench, count, tenant)
        bench.stack.sql("checkpoint")
        begin = instant - bench.warmup - 1
        if time.time() > begin and not bench.is_small:
            raise Failed(f"{count} holds were not there in time")
        until(lambda: time.time() > begin, "the instant", LEAD_SECONDS)
        figures = commands(bench)
        find = (
            f"select count(*), count(distinct hold_id), extract(epoch from max(at)) - {instant} from journal "
            f"where event_type = '{event}' and tenant like '{tenant}%' and at >= to_timestamp({instant})"
        )
        until(lambda: int(bench.stack.sql(find)[0][0]) >= count, "what was due")
        [[events, holds, seconds]] = bench.stack.sql(find)
        if int(events) != count or int(holds) != count:
            raise Failed(f"{events} events of {holds} holds, where {count} were due")
        names = [f"{tenant}-{number}" for number in range(tenants)] if event == "expired" else [tenant]
        told = last_told(bench, names) - instant
        return {**figures, "transitions": count, "transition_rate": count / float(seconds), "told_seconds": told}

    return run


SIDES = [
    Side("nothing due", lambda bench, _: commands(bench)),
    Side("starts", happens(starts, "active")),
    Side("locks of 64 tenants", happens(locks(64), "expired", 64)),
    Side("locks of one tenant", happens(locks(1), "expired")),
]


def checks(label, what):
    slower = lambda figures: figures[label]["latency_ms"]["p99"] / figures["nothing due"]["latency_ms"]["p99"]
    return [
        Check(f"{what} a second", lambda figures: figures[label]["transition_rate"], 20_000, unit="/s"),
        Check(f"{what}: the last event in the stream after", lambda figures: figures[label]["told_seconds"], unit="s"),
        Check(f"p99 of commands while {what} / without", slower, 3, is_least=False),
    ]


SCENARIOS = [
    Scenario(
        "due",
        "100,000 transitions that are due at one instant: how fast they are carried out, from the instant to the time of "
        "the last batch that did so (from the journal) and to the last event's in the stream, and how long reserves at 1,000 a second take meanwhile, open "
        "loop, over the whole measurement. Reservations over 64 pools that start; locks that run out, whose rows are "
        "given the same instant beforehand.",
        SIDES,
        checks("starts", "reservations start")
        + checks("locks of 64 tenants", "locks of 64 tenants expire")
        + checks("locks of one tenant", "locks of one tenant expire"),
    )
]
