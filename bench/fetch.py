"""Finds or fetches what berth is compared with: the machine's own programs, else Debian's packages, unpacked into
.berth/peers; the load program, built from bench/peers; the queue, pinned in bench/peers/queue. Nothing is installed.
What cannot be had raises Missing, whose text is one sentence for the results."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
PEERS = PROJECT / "bench" / "peers"
FETCHED = PROJECT / ".berth" / "peers"
DEBIAN = FETCHED / "debian"
SECONDS_MAX = 900


class Missing(Exception):
    """One sentence: what is missing and why."""


def run(command, what, **options):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_MAX, **options)
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise Missing(f"{what}: {problem}") from None
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise Missing(f"{what}: {last}")
    return done.stdout


def debian(package, program):
    """The program's path: the machine's own, or that of Debian's package with what it needs beside it."""
    found = shutil.which(program)
    if found:
        return Path(found)
    path = DEBIAN / "usr" / "bin" / program
    if not path.exists():
        unpack(package)
    if not path.exists():
        raise Missing(f"{package} has no {program}")
    return path


def unpack(package):
    what = f"{package} cannot be fetched from Debian"
    print(f"fetching {package} (once)", file=sys.stderr, flush=True)
    simulated = run(["apt-get", "install", "--print-uris", "-qq", "--no-install-recommends", package], what)
    names = re.findall(r"^'[^']*' ([^_\s]+)_", simulated, re.MULTILINE)
    folder = FETCHED / "archives"
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        run(["apt-get", "download", "-q", name], what, cwd=folder)
        archive = max(folder.glob(f"{name}_*.deb"), key=lambda path: path.stat().st_mtime)
        run(["dpkg", "-x", str(archive), str(DEBIAN)], what)


def environment():
    """For programs from DEBIAN: where their libraries are."""
    folders = [str(folder) for folder in DEBIAN.glob("usr/lib/*-linux-gnu*")]
    return {**os.environ, "LD_LIBRARY_PATH": ":".join([*folders, os.environ.get("LD_LIBRARY_PATH", "")]).strip(":")}


def redis():
    return debian("redis-server", "redis-server")


def etcd():
    return debian("etcd-server", "etcd")


def loader():
    """The load program, built as the release of berth is."""
    command = ["cargo", "build", "--release", "--quiet", "--locked", "--manifest-path", str(PEERS / "Cargo.toml")]
    run(command, "bench/peers cannot be built")
    return PEERS / "target" / "release" / "berth-peers"


def queue():
    """The folder of the queue's packages: its name is that of what is pinned."""
    if not (shutil.which("node") and shutil.which("npm")):
        raise Missing("graphile-worker needs node and npm, which this machine does not have")
    pins = PEERS / "queue"
    digest = hashlib.sha256((pins / "package-lock.json").read_bytes()).hexdigest()[:12]
    folder = FETCHED / f"queue-{digest}"
    if not folder.is_dir():
        print("fetching graphile-worker (once)", file=sys.stderr, flush=True)
        beside = FETCHED / f".queue-{os.getpid()}"
        beside.mkdir(parents=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(pins / name, beside)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        run(command, "graphile-worker cannot be fetched from npm", cwd=beside)
        beside.rename(folder)
    return folder


KINDS = {"redis": redis, "etcd": etcd, "loader": loader, "queue": queue}
