"""Where the time goes: processor time a request, by process, in the middle of a load."""

import os
import threading
import time

import loads
from processes import Failed

from .scenario import Check, Scenario, Side

# From the start of the load to the first look: it makes its pools before its warm-up.
LEAD_SECONDS = 2
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
PARTS = ["worker", "Postgres", "nats-server", "load"]


def processes():
    """Of each process its parent, its name, and the seconds of processor time that it has used."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
                head, _, rest = file.read().rpartition(")")
        except OSError:
            continue  # it has ended meanwhile
        fields = rest.split()
        found[int(pid)] = (int(fields[1]), head.partition("(")[2], (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND)
    return found


def used(worker):
    """Seconds of processor time so far, by part. The worker is the process that has started its servers."""
    seconds = dict.fromkeys(PARTS, 0.0)
    all_of_them = processes()
    for pid, (parent, name, of_process) in all_of_them.items():
        if pid == worker:
            seconds["worker"] += of_process
        elif name == "postgres":
            seconds["Postgres"] += of_process
        elif name == "nats-server":
            seconds["nats-server"] += of_process
        elif parent == os.getpid() and name == all_of_them[worker][1]:
            seconds["load"] += of_process
    return seconds


def measured(load):
    def run(bench, _):
        figures, worker = {}, bench.stack.worker.process.pid

        def carry_out():
            try:
                figures.update(load(bench))
            except Failed as failed:
                figures["failed"] = failed

        thread = threading.Thread(target=carry_out)
        thread.start()
        time.sleep(bench.warmup + LEAD_SECONDS)
        before, begin = used(worker), time.monotonic()
        time.sleep(max(bench.seconds - LEAD_SECONDS - 0.5, 0.2))
        after, end = used(worker), time.monotonic()
        thread.join()
        if "failed" in figures:
            raise figures["failed"]
        requests = figures["rate"] * (end - begin)
        spent = {part: (after[part] - before[part]) * 1_000_000 / requests for part in PARTS}
        return {**figures, "microseconds": spent}

    return run


LOADS = {
    "reserve": lambda bench: loads.reserve(bench),
    "lock-unlock": lambda bench: loads.berth(bench, "--verb", "lock-unlock", "--tenants", 64),
    "reserve, one in flight": lambda bench: loads.reserve(bench, "--connections", 1, in_flight=1),
}


def check(label, part):
    return Check(f"{label}: {part}", lambda figures: figures[label]["microseconds"][part], unit=" µs")


SCENARIOS = [
    Scenario(
        "cost",
        "processor time a request",
        [Side(label, measured(load)) for label, load in LOADS.items()],
        [check(label, part) for label in LOADS for part in PARTS],
    )
]
