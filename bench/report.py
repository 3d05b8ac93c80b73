"""bench/RESULTS.md and its plots, from what is in results.json and nothing else."""

import re
import statistics

import svg
from fetch import PROJECT

BENCH = PROJECT / "bench"
NAME_MAX = 60
PERCENTILES = (("p50", "50 %"), ("p90", "90 %"), ("p99", "99 %"), ("p999", "99.9 %"), ("max", "most"))


def number(value):
    """Three digits that count, or all before the point."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value >= 0.001 or value == 0 else f"{value:.1e}"


def spread(values):
    return statistics.median(values), min(values), max(values)


def held(check):
    if check["goal"] is None:
        return "shown beside"
    median = statistics.median(check["values"])
    return "held" if (median >= check["goal"] if check["is_least"] else median <= check["goal"]) else "**not held**"


def goal(check):
    if check["goal"] is None:
        return ""
    return f"{'≥' if check['is_least'] else '≤'} {number(check['goal'])}"


def table(head, rows):
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *("| " + " | ".join(row) + " |" for row in rows), ""]


def overview(scenarios):
    rows = []
    for name, scenario in scenarios.items():
        for reason in ("missing", "failed"):
            if reason in scenario:
                rows.append([f"[{name}](#{name})", scenario[reason], "", "", "", "", f"**{reason}**"])
        for check in scenario.get("checks", []):
            figures = [f"{number(value)} {check['unit']}" for value in spread(check["values"])]
            rows.append([f"[{name}](#{name})", check["what"], goal(check), *figures, held(check)])
    return table(["comparison", "what", "goal", "median", "minimum", "maximum", ""], rows)


def of_runs(runs, key):
    """Median, with minimum and maximum, of one percentile."""
    found = [run["latency_ms"][key] for run in runs if key in run.get("latency_ms", {})]
    return " / ".join(number(value) for value in spread(found)) if found else ""


def details(name, scenario):
    parts = [f"### {name}", "", scenario["what"], ""]
    for reason in ("missing", "failed"):
        if reason in scenario:
            parts += [f"{reason.capitalize()}: {scenario[reason]}.", ""]
    sides = scenario.get("sides", {})
    if sides:
        parts += [f"{scenario['seconds']} s a side after {scenario['warmup']} s of load; {scenario['berth']}; {scenario['at']}.", ""]
        rows = []
        for label, runs in sides.items():
            rates = " / ".join(number(value) for value in spread([run["rate"] for run in runs]))
            rows.append([label, str(len(runs)), rates, of_runs(runs, "p50"), of_runs(runs, "p99")])
        parts += table(["side", "rounds", "a second", "p50, ms", "p99, ms"], rows)
        parts += ["Commands:", "", "```text", *(f"{label}: {runs[-1]['command']}" for label, runs in sides.items()), "```", ""]
    return parts


def facts(results):
    machine = results["machine"]
    sync = machine["fdatasync_ms"]
    rows = [
        ["machine", f"{machine['cores']} cores, {machine['cpu']}, {machine['memory_gb']} GB, Linux {machine['kernel']}"],
        ["disk", f"{machine['file_system']}; fdatasync after 8 kB: median {sync['p50']} ms, p99 {sync['p99']} ms"],
        *([name, version] for name, version in results["versions"].items()),
    ]
    for name, settings in results.get("settings", {}).items():
        rows.append([f"{name}: settings", ", ".join(f"{key} = {value}" for key, value in settings.items())])
    return table(["what", "which"], rows)


def markdown(results):
    scenarios = results["scenarios"]
    parts = [
        "# Measured",
        "",
        "Written by `bench/run.py` (`make bench`) from `bench/results.json`. All of a comparison ran on one machine, sides "
        "in turn (A B A B …), servers, load and whatever is measured on the same cores, data on the disk. Before each "
        "measurement Postgres wrote a checkpoint. A ratio is made of the two figures of one round; whether a goal holds is "
        "told by the median of the rounds. A check of berth's own follows each of its loads: what was answered is in the "
        "stream and in the rows, each once.",
        "",
        *overview(scenarios),
        "![Medians over their goals](ratios.svg)",
        "![Throughput against requests in flight](in-flight.svg)",
        "![Latency of locks with 64 in flight](latency.svg)",
        "![Throughput against live reservations](live.svg)",
        "",
        "## Machine, versions, settings",
        "",
        *facts(results),
        "## Figures",
        "",
        "Each figure is median / minimum / maximum of the rounds.",
        "",
    ]
    for name, scenario in scenarios.items():
        parts += details(name, scenario)
    return "\n".join(parts).rstrip() + "\n"


def shortened(words):
    return words if len(words) <= NAME_MAX else words[: NAME_MAX - 1] + "…"


def over_goals(scenarios):
    """What has a goal, as shares of it: above 1 it is held."""
    rows = []
    for name, scenario in scenarios.items():
        for check in (check for check in scenario.get("checks", []) if check["goal"] is not None):
            tiny = 1e-9  # a figure of 0 where less is better
            share = lambda value: value / check["goal"] if check["is_least"] else check["goal"] / max(value, tiny)
            median, least, most = spread([share(value) for value in check["values"]])
            rows.append((shortened(f"{name}: {check['what']}"), *(min(value, 100) for value in (least, median, most))))
    return rows


def curves(sides, figure):
    """From labels such as "berth 64": the names, the places, and a line for each name."""
    found = {}
    for label, runs in sides.items():
        name, place = re.fullmatch(r"(.*) (\d+)", label).groups()
        found.setdefault(name, {})[int(place)] = statistics.median(figure(run) for run in runs)
    places = sorted({place for line in found.values() for place in line})
    return {name: [line.get(place) for place in places] for name, line in found.items()}, places


def plots(results):
    """File name to its text."""
    scenarios = results["scenarios"]
    drawn = {}
    rows = over_goals(scenarios)
    drawn["ratios.svg"] = svg.bars("Medians as shares of their goals, with the least and the most of the rounds", rows)
    sides = scenarios.get("in-flight", {}).get("sides", {})
    series, places = curves(sides, lambda run: run["rate"])
    title = "Locks taken and given back a second, against requests in flight"
    drawn["in-flight.svg"] = svg.lines(title, "requests in flight", series, places)
    at = {label.removesuffix(" 64"): runs for label, runs in sides.items() if label.endswith(" 64")}
    series = {name: [statistics.median(run["latency_ms"][key] for run in runs) for key, _ in PERCENTILES] for name, runs in at.items()}
    title = "Milliseconds of lock and unlock, 64 in flight"
    drawn["latency.svg"] = svg.lines(title, "share of the requests", series, [words for _, words in PERCENTILES], True)
    sides = scenarios.get("sizes", {}).get("sides", {})
    series = {"reserve": [statistics.median(run["rate"] for run in runs) for runs in sides.values()]}
    title = "Reservations a second, one pool, against those it has"
    drawn["live.svg"] = svg.lines(title, "live reservations", series, [f"{int(label):,}" for label in sides])
    return drawn


def write(results):
    (BENCH / "RESULTS.md").write_text(markdown(results), encoding="utf-8")
    for name, text in plots(results).items():
        (BENCH / name).write_text(text, encoding="utf-8")
