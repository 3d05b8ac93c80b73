#!/usr/bin/env python3
"""berth beside what a user would take instead, on this machine, in one run: starts all servers itself, with data on the
disk under .berth/bench, measures the sides of each comparison in turn (A B A B …), and writes bench/results.json,
bench/RESULTS.md and the plots. What cannot be had is said to be missing, and the rest goes on."""

import argparse
import datetime
import json
import signal
import sys
import traceback
from pathlib import Path

sys.dont_write_bytecode = True

import fetch
import machine
import report
from fetch import PROJECT
from processes import Failed
from scenarios import ALL
from stack import SCRATCH, Stack

RESULTS = PROJECT / "bench" / "results.json"
EXAMPLES = """\
examples:
  bench/run.py                         everything; takes about an hour
  bench/run.py --list                  what there is
  bench/run.py --only hot,pgbench      some of it, put into results.json beside what is there
  bench/run.py --report                RESULTS.md and the plots once more, from results.json
  bench/run.py --smoke                 does each of them work? A second each, small, nothing is kept"""


class Bench:
    """What the sides of a scenario are given."""

    def __init__(self, stack, options, found):
        self.stack, self.found, self.is_small = stack, found, options.smoke
        self.seconds = 1 if options.smoke else options.seconds
        self.warmup = 0 if options.smoke else options.warmup
        # What a scenario's preparation leaves for its sides.
        self.kept = {}

    def size(self, full, small):
        return small if self.is_small else full


def say(text):
    print(text, file=sys.stderr, flush=True)


def figure(measured):
    return f"{measured['rate']:,.0f}/s"


def measure(bench, scenario, rounds):
    """The figures of each round: by side, what it gave."""
    measured = []
    with scenario.prepare(bench):
        for number in range(1, min(rounds, scenario.rounds_max) + 1):
            figures = {}
            for side in scenario.sides:
                bench.stack.quiet()
                figures[side.label] = side.run(bench, figures)
                say(f"  {scenario.name} {number}: {side.label} {figure(figures[side.label])}")
            measured.append(figures)
    return measured


def checked(scenario, rounds):
    found = []
    for check in scenario.checks:
        values = [check.value(figures) for figures in rounds]
        found.append({
            "what": check.what, "goal": check.goal, "is_least": check.is_least, "unit": check.unit, "values": values,
        })
    return found


def result(scenario, rounds, bench, berth):
    """With all that may be another one when a part is measured again."""
    return {
        "at": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "berth": berth,
        "seconds": bench.seconds,
        "warmup": bench.warmup,
        "what": scenario.what,
        "sides": {side.label: [figures[side.label] for figures in rounds] for side in scenario.sides},
        "checks": checked(scenario, rounds),
    }


def fetched(scenarios):
    """What there is of what they need, and why the rest is not there."""
    found, missing = {}, {}
    for kind in dict.fromkeys(kind for scenario in scenarios for kind in scenario.needs):
        try:
            found[kind] = fetch.KINDS[kind]()
        except fetch.Missing as problem:
            say(f"missing: {problem}")
            missing[kind] = str(problem)
    return found, missing


class Results:
    """results.json: what was measured before stays, what is measured again is replaced."""

    def __init__(self, is_kept):
        self.is_kept = is_kept
        self.all = {"scenarios": {}}
        if is_kept and RESULTS.exists():
            self.all = json.loads(RESULTS.read_text())

    def put(self, name, value):
        self.all["scenarios"][name] = value
        self.keep()

    def keep(self):
        if self.is_kept:
            order = [scenario.name for scenario in ALL]
            scenarios = self.all["scenarios"]
            self.all["scenarios"] = {name: scenarios[name] for name in order if name in scenarios}
            RESULTS.write_text(json.dumps(self.all, indent=1) + "\n")


def run_all(options, scenarios):
    """Gives the names of what failed."""
    found, missing = fetched(scenarios)
    results, failed = Results(not options.smoke), []
    SCRATCH.mkdir(parents=True, exist_ok=True)
    results.all["machine"] = machine.machine(SCRATCH)
    results.all["versions"] = {**results.all.get("versions", {}), **machine.versions(options.berth, found)}

    def attempt(stack, scenario):
        say(scenario.name)
        reasons = [missing[kind] for kind in scenario.needs if kind in missing]
        if reasons:
            return results.put(scenario.name, {"what": scenario.what, "missing": "; ".join(reasons)})
        try:
            bench = Bench(stack, options, found)
            rounds = measure(bench, scenario, 1 if options.smoke else options.rounds)
            results.put(scenario.name, result(scenario, rounds, bench, results.all["versions"]["berth"]))
        except Exception as problem:  # one that fails must not cost the others' figures
            failed.append(scenario.name)
            say(f"{scenario.name} failed: {problem}")
            if not isinstance(problem, Failed):
                traceback.print_exc()
            results.put(scenario.name, {"what": scenario.what, "failed": str(problem)})

    if options.smoke:  # fresh tables matter to figures only
        with Stack(options.berth, "smoke") as stack:
            results.all["settings"] = machine.settings(stack)
            for scenario in scenarios:
                attempt(stack, scenario)
        report.markdown(results.all)
        report.plots(results.all)
        return failed
    for scenario in scenarios:
        with Stack(options.berth, scenario.name) as stack:
            results.all["settings"] = machine.settings(stack)
            attempt(stack, scenario)
    report.write(results.all)
    return failed


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--berth", type=Path, default=PROJECT / "target" / "release" / "berth", help="the berth program")
    parser.add_argument("--only", metavar="NAME,…", help="these scenarios")
    parser.add_argument("--rounds", type=int, default=3, help="so many of all sides, in turn [3]")
    parser.add_argument("--seconds", type=int, default=6, help="each measurement [6]")
    parser.add_argument("--warmup", type=int, default=2, help="seconds of load before each [2]")
    parser.add_argument("--list", action="store_true", help="name the scenarios")
    parser.add_argument("--smoke", action="store_true", help="does each work? a second each, nothing is kept")
    parser.add_argument("--report", action="store_true", help="write the report from results.json, measure nothing")
    return parser.parse_args()


def main():
    options = arguments()
    names = [scenario.name for scenario in ALL]
    wanted = options.only.split(",") if options.only else names
    unknown = [name for name in wanted if name not in names]
    if unknown:
        say(f"run.py: no scenario is called {', '.join(unknown)}; there are {', '.join(names)}")
        return 1
    if options.list:
        for scenario in ALL:
            print(f"{scenario.name:13} {scenario.what}")
        return 0
    if options.report:
        report.write(json.loads(RESULTS.read_text()))
        return 0
    options.berth = options.berth.resolve()
    if not options.berth.exists():
        say(f"run.py: {options.berth} is missing: cargo build --release makes it")
        return 1
    chosen = [scenario for scenario in ALL if scenario.name in wanted]
    # As for Ctrl-C: what was started is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        failed = run_all(options, chosen)
    except (Failed, OSError) as problem:
        say(f"run.py: {problem}")
        return 1
    if failed:
        say(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
