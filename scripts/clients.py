#!/usr/bin/env python3
"""Finds or fetches the NATS clients that the tests talk to a worker with: `clients.py python` or `clients.py node`.

Prints the folder: for python the one that belongs on PYTHONPATH, for node the one with `node_modules`. The packages are
pinned with their hashes in tests/clients/, fetched once with pip or npm, and kept in .berth/clients; nothing is
installed, no script of a package is run, and the second time needs no network.

Exit status: 0 found, 1 not (one sentence on standard error says what to do), 3 node or npm is missing on this machine.
"""

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

# Nothing is left beside the scripts.
sys.dont_write_bytecode = True

import servers

CLIENTS = servers.PROJECT / ".berth" / "clients"
PINS = servers.PROJECT / "tests" / "clients"
FETCH_SECONDS_MAX = 300
NODE_IS_MISSING = 3


def run(command, folder, what):
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=FETCH_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        raise servers.Problem(f"fetching {what} took more than {FETCH_SECONDS_MAX} seconds: try again") from None
    if done.returncode != 0:
        servers.say(done.stderr.strip())
        raise servers.Problem(f"{command[0]} could not fetch {what}: check the network and run this again")


def with_pip(scratch, made):
    command = [*servers.working_pip(), "install", "--quiet", "--no-deps", "--no-compile", "--require-hashes"]
    command += ["--only-binary=:all:", "--disable-pip-version-check", "--target", str(made)]
    run([*command, "--requirement", str(PINS / "python" / "requirements.txt")], scratch, "the Python client")


def with_npm(scratch, made):
    made.mkdir()
    for name in ("package.json", "package-lock.json"):
        shutil.copy(PINS / "node" / name, made)
    run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], made, "the Node client")


# What is asked for: the file that pins it, and how it is fetched.
KINDS = {"python": (PINS / "python" / "requirements.txt", with_pip), "node": (PINS / "node" / "package-lock.json", with_npm)}


def fetched(kind):
    """The folder of the packages: its name is that of what is pinned. Made beside and renamed, so never half there."""
    pins, fetch = KINDS[kind]
    folder = CLIENTS / f"{kind}-{hashlib.sha256(pins.read_bytes()).hexdigest()[:12]}"
    if folder.is_dir():
        return folder
    servers.say(f"fetching the {kind} client into {CLIENTS.relative_to(servers.PROJECT)} (once)")
    CLIENTS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=CLIENTS) as scratch:
        made = Path(scratch) / "made"
        fetch(Path(scratch), made)
        try:
            made.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another run was faster
                raise
    return folder


def main(arguments):
    if len(arguments) != 1 or arguments[0] not in KINDS:
        servers.say("clients.py: say python or node")
        return 1
    kind = arguments[0]
    if kind == "node" and not (shutil.which("node") and shutil.which("npm")):
        servers.say("clients.py: node or npm is missing: install Node.js 18 or later with npm")
        return NODE_IS_MISSING
    try:
        print(fetched(kind))
    except (servers.Problem, OSError) as problem:
        servers.say(f"clients.py: {problem}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
