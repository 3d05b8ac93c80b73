"""One measurement each: puts load on something, and gives its figures with the command that was run. A load whose own
check fails ends the measurement."""

import contextlib
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import uuid

import fetch
from fetch import PEERS, PROJECT
from processes import Failed, free_port, http, server

LOAD_SECONDS_MAX = 3600
PGBENCH = PROJECT / "bench" / "pgbench"


def shown(command, hidden=()):
    """The command as a person would type it, without what only this run knows."""
    words = [os.path.relpath(word, PROJECT) if word.startswith(str(PROJECT)) else word for word in map(str, command)]
    text = " ".join(words)
    for secret, name in hidden:
        text = text.replace(secret, name)
    return text


def output(command, what, environment=None):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LOAD_SECONDS_MAX, env=environment)
    except subprocess.TimeoutExpired:
        raise Failed(f"{what} did not end") from None
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip() or "no reason given").splitlines()
        reasons = [line for line in said if line.startswith("error")]
        raise Failed(f"{what}: {(reasons or said)[-1]}")
    return done.stdout


def berth(bench, *flags, worker=None, in_flight=1024, checks_rows=True, seconds=None, warmup=None):
    """`berth bench`, whose check compares what was answered with the stream and, if asked to, with the rows."""
    stack, worker = bench.stack, worker or bench.stack.worker
    command = [stack.berth, "bench", "--json", "--in-flight", str(in_flight), *map(str, flags)]
    command += ["--seconds", str(seconds or bench.seconds), "--warmup", str(bench.warmup if warmup is None else warmup)]
    environment = {**stack.environment, "NATS_URL": stack.nats_url, "BERTH_SUBJECT_ROOT": worker.root}
    if checks_rows:
        environment["BERTH_BENCH_DATABASE_URL"] = worker.database_url
    figures = json.loads(output(command, "berth bench", environment))
    if figures["faults"]:
        raise Failed(f"berth bench: {'; '.join(figures['faults'])}")
    return {**figures, "command": shown(command)}


def reserve(bench, *flags, pools=1000, **options):
    """Reservations over so many pools. Making them takes a while, so where nothing is measured there are few."""
    return berth(bench, "--verb", "reserve", "--pools", bench.size(pools, min(pools, 20)), *flags, **options)


def pgbench_schema(bench):
    command = [f"{bench.stack.bin}/pgbench", "-n", "-M", "simple", "-t", "1", "-c", "1"]
    output([*command, "-f", PGBENCH / "schema.sql", bench.stack.database_url], "the schema for pgbench")


def pgbench(bench, protocol="simple", clients=32):
    """The same decision in one transaction for each request."""
    stack, logs = bench.stack, bench.stack.folder / "pgbench"
    shutil.rmtree(logs, ignore_errors=True)
    logs.mkdir()
    command = [f"{stack.bin}/pgbench", "-n", "-c", str(clients), "-j", str(min(clients, 2)), "-M", protocol]
    command += ["-T", str(bench.seconds), "-f", str(PGBENCH / "reserve.sql")]
    # Each transaction's time is only wanted of one client: writing it down costs the others.
    command += ["-l", f"--log-prefix={logs}/log"] if clients == 1 else []
    said = output([*command, stack.database_url], "pgbench")
    failed = re.search(r"number of failed transactions: (\d+)", said)
    if failed and failed[1] != "0":
        raise Failed(f"pgbench: {failed[1]} transactions failed")
    figures = {"rate": float(re.search(r"^tps = ([\d.]+)", said, re.MULTILINE)[1])}
    if clients == 1:
        lines = [line for log in logs.iterdir() for line in log.read_text().splitlines()]
        figures["latency_ms"] = {"p50": statistics.median(int(line.split()[2]) for line in lines) / 1000}
    name = shown(command, [(f"{stack.bin}/", ""), (f"{logs}/log", "…")])
    return {**figures, "command": name.replace(os.path.relpath(logs, PROJECT), "…")}


def peer(bench, kind, *flags, in_flight=1024, connections=2):
    """The load program of bench/peers."""
    command = [str(bench.found["loader"]), kind, "--in-flight", str(in_flight), "--connections", str(connections)]
    command += ["--seconds", str(bench.seconds), "--warmup", str(bench.warmup), *map(str, flags)]
    figures = json.loads(output(command, kind))
    hidden = [(bench.stack.database_url, "$DATABASE_URL"), (bench.stack.nats_url, "$NATS_URL")]
    return {**figures, "command": re.sub(r"--address \S+", "--address …", shown(command, hidden))}


def bulk(bench):
    return peer(bench, "bulk", "--database-url", bench.stack.database_url, in_flight=1, connections=1)


def echo(bench, in_flight):
    command = [str(bench.found["loader"]), "echo-serve", "--nats-url", bench.stack.nats_url]
    log = bench.stack.folder / "echo.log"
    with server(command, lambda: "ready" in log.read_text(), log):
        connections = min(in_flight, 2)
        return peer(bench, "echo", "--nats-url", bench.stack.nats_url, in_flight=in_flight, connections=connections)


@contextlib.contextmanager
def a_folder(bench, name):
    folder = bench.stack.folder / f"{name}-{uuid.uuid4().hex[:8]}"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def redis(bench, kind, in_flight, fsync="always", connections=2):
    """Redis for this measurement alone. Its log is never rewritten meanwhile, and there are no snapshots."""
    port = free_port()

    def is_ready():
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as probe:
            probe.sendall(b"PING\r\n")
            return probe.recv(16).startswith(b"+PONG")
        return False

    with a_folder(bench, "redis") as folder:
        settings = {"port": port, "bind": "127.0.0.1", "dir": folder, "save": "", "appendonly": "yes"}
        settings |= {"appendfsync": fsync, "auto-aof-rewrite-percentage": 0}
        command = [str(bench.found["redis"])]
        for name, value in settings.items():
            command += [f"--{name}", str(value)]
        with server(command, is_ready, folder / "log", fetch.environment()):
            return peer(bench, kind, "--address", f"127.0.0.1:{port}", in_flight=in_flight, connections=connections)


def etcd(bench, in_flight):
    """etcd for this measurement alone, as it is by default."""
    port = free_port()
    clients, peers = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{free_port()}"
    with a_folder(bench, "etcd") as folder:
        command = [str(bench.found["etcd"]), "--name", "bench", "--data-dir", str(folder / "data")]
        command += ["--listen-client-urls", clients, "--advertise-client-urls", clients, "--listen-peer-urls", peers]
        command += ["--initial-advertise-peer-urls", peers, "--initial-cluster", f"bench={peers}"]
        is_ready = lambda: '"health":"true"' in (http(f"{clients}/health") or "")
        with server(command, is_ready, folder / "log", fetch.environment()):
            return peer(bench, "etcd", "--address", f"127.0.0.1:{port}", in_flight=in_flight)


def queue(bench):
    """Jobs of graphile-worker on the same Postgres."""
    command = ["node", str(PEERS / "queue" / "run.js"), "--database-url", bench.stack.database_url]
    command += ["--seconds", str(bench.seconds), "--warmup", str(bench.warmup)]
    environment = {**os.environ, "NODE_PATH": str(bench.found["queue"] / "node_modules"), "NODE_ENV": "production"}
    figures = json.loads(output(command, "graphile-worker", environment))
    return {**figures, "command": shown(command, [(bench.stack.database_url, "$DATABASE_URL")])}
