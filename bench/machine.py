"""What the figures depend on besides berth: the machine, the versions and the settings."""

import json
import os
import platform
import re
import statistics
import subprocess
import time

import fetch
from fetch import PEERS, PROJECT

SYNCS = 200
SYNC_BYTES = 8_192
POSTGRES_SETTINGS = (
    "shared_buffers", "max_connections", "max_wal_size", "checkpoint_timeout", "fsync", "synchronous_commit",
    "full_page_writes", "wal_level", "wal_sync_method", "wal_compression", "autovacuum",
)


def said(*command, **options):
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=60, **options).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def first(pattern, text):
    found = re.search(pattern, text, re.MULTILINE)
    return found[1] if found else "not known"


def sync_latency(folder):
    """Milliseconds of an fdatasync behind 8 kB that were appended."""
    path, times = folder / "sync", []
    file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    try:
        for _ in range(SYNCS):
            os.write(file, b"x" * SYNC_BYTES)
            begin = time.perf_counter()
            os.fdatasync(file)
            times.append((time.perf_counter() - begin) * 1000)
    finally:
        os.close(file)
        path.unlink()
    return {"p50": round(statistics.median(times), 3), "p99": round(sorted(times)[SYNCS * 99 // 100], 3)}


def machine(folder):
    with open("/proc/cpuinfo", encoding="utf-8") as cpu, open("/proc/meminfo", encoding="utf-8") as memory:
        cpu, memory = cpu.read(), memory.read()
    return {
        "cores": os.cpu_count(),
        "cpu": first(r"^model name\s*: (.*)$", cpu),
        "memory_gb": round(int(first(r"^MemTotal:\s*(\d+)", memory)) / 1024 / 1024, 1),
        "kernel": platform.release(),
        "file_system": said("stat", "-f", "-c", "%T", str(folder)) or "not known",
        "fdatasync_ms": sync_latency(folder),
    }


def crate(name):
    return first(rf'name = "{name}"\nversion = "([^"]+)"', (PEERS / "Cargo.lock").read_text())


def versions(berth, found):
    """`found`: what was fetched, by the names of fetch.KINDS."""
    environment = {**os.environ, **fetch.environment()}
    servers = said(str(PROJECT / "scripts" / "servers.py"))
    paths = dict(line.split("=", 1) for line in servers.splitlines())
    changed = " with changes" if said("git", "status", "--porcelain", "--", "src", "migrations", cwd=PROJECT) else ""
    known = {
        "berth": f"{said(str(berth), '--version')}, commit {said('git', 'rev-parse', '--short', 'HEAD', cwd=PROJECT)}{changed}",
        "Postgres and pgbench": said(f"{paths['BERTH_POSTGRES_BIN']}/postgres", "--version"),
        "nats-server": said(paths["BERTH_NATS_SERVER"], "--version"),
        "rustc": said("rustc", "--version"),
    }
    if "redis" in found:
        known["Redis"] = first(r"v=(\S+)", said(str(found["redis"]), "--version", env=environment))
    if "etcd" in found:
        known["etcd"] = first(r"etcd Version: (\S+)", said(str(found["etcd"]), "--version", env=environment))
    if "queue" in found:
        pins = json.loads((PEERS / "queue" / "package.json").read_text())
        known["graphile-worker"] = f"{pins['dependencies']['graphile-worker']} on node {said('node', '--version')}"
    if "loader" in found:
        crates = ("async-nats", "tonic", "tokio-postgres")
        known["clients"] = ", ".join(f"{name} {crate(name)}" for name in crates) + "; Redis by a client of our own"
    return known


def settings(stack):
    names = ", ".join(f"'{name}'" for name in POSTGRES_SETTINGS)
    rows = stack.sql(f"select name, current_setting(name) from pg_settings where name in ({names}) order by name")
    nats = next((path.read_text() for path in (stack.folder / "data").glob("nats*.conf")), "")
    workers = re.findall(r"\[env: (BERTH_\w+)=[^\]]*\] \[default: ([^\]]*)\]", said(stack.berth, "worker", "--help"))
    return {
        "Postgres": dict(rows),
        "nats-server": {"sync_interval": first(r"sync_interval: (.*)$", nats)},
        "berth": {name: value for name, value in workers if name not in ("BERTH_HTTP_ADDR", "BERTH_SUBJECT_ROOT")},
        "Redis": {"appendonly": "yes", "appendfsync": "always, or everysec where it is said", "save": "none"},
        "etcd": {"all": "its defaults, a single member"},
    }
