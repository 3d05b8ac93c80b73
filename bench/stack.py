"""Postgres, nats-server and a worker of berth by `berth dev`, with data in a folder of their own on the disk, and what
can be asked of them."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time

from fetch import PROJECT
from processes import Failed, free_port, http, server, stop, until

sys.dont_write_bytecode = True
SCRATCH = PROJECT / ".berth" / "bench"
SQL_SECONDS_MAX = 3600
QUIET_SECONDS_MAX = 120


def servers():
    """The environment in which berth and we find Postgres and nats-server; without settings of berth's from outside."""
    found = subprocess.run([PROJECT / "scripts" / "servers.py"], capture_output=True, text=True, check=True).stdout
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BERTH_")}
    for outside in ("DATABASE_URL", "NATS_URL", "NATS_CREDS"):
        kept.pop(outside, None)
    return {**kept, **dict(line.split("=", 1) for line in found.split())}


class Worker:
    """A process that decides, and where it is asked for."""

    def __init__(self, process, http_url, root, database_url):
        self.process, self.http_url, self.root, self.database_url = process, http_url, root, database_url

    def metrics(self):
        """Each sample's value, by its name with labels."""
        text = http(f"{self.http_url}/metrics")
        if text is None:
            raise Failed("the worker shows no metrics")
        samples = re.findall(r"^(\w+(?:\{[^}]*\})?) (\S+)$", text, re.MULTILINE)
        return {name: float(value) for name, value in samples}

    def memory_megabytes(self, line):
        """`VmRSS`: what it has now; `VmHWM`: the most it had."""
        with open(f"/proc/{self.process.pid}/status", encoding="utf-8") as status:
            kilobytes = re.search(rf"^{line}:\s+(\d+) kB", status.read(), re.MULTILINE)
        return int(kilobytes[1]) / 1024


class Stack:
    """What `berth dev` runs."""

    def __init__(self, berth, name):
        self.berth, self.folder = str(berth), SCRATCH / name
        self.environment = servers()
        self.bin = self.environment["BERTH_POSTGRES_BIN"]
        self.nats_url = self.database_url = self.worker = self.process = None

    def __enter__(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        command = [self.berth, "dev", "--data-dir", str(self.folder / "data"), "--nats-port", "0", "--postgres-port", "0"]
        log = open(self.folder / "dev.log", "w+", encoding="utf-8")
        self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self.environment)
        try:
            until(self.is_announced, "the start of berth dev", 120)
        except Failed:
            self.__exit__()
            raise
        return self

    def is_announced(self):
        said = (self.folder / "dev.log").read_text(encoding="utf-8")
        found = re.search(r"NATS_URL +(\S+)\n +DATABASE_URL +(\S+)\n +metrics +(\S+)/metrics", said)
        if found:
            self.nats_url, self.database_url = found[1], found[2]
            self.worker = Worker(self.process, found[3], "berth", self.database_url)
        elif self.process.poll() is not None:
            raise Failed(f"berth dev ended at its start: {said.strip()[-500:]}")
        return bool(found)

    def __exit__(self, *_):
        stop(self.process)
        shutil.rmtree(self.folder, ignore_errors=True)

    def sql(self, text, database_url=None):
        """The rows, each a list of texts."""
        command = [f"{self.bin}/psql", "-XAtq", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-c", text]
        command.append(database_url or self.database_url)
        done = subprocess.run(command, capture_output=True, text=True, timeout=SQL_SECONDS_MAX)
        if done.returncode != 0:
            raise Failed(f"psql: {done.stderr.strip()}")
        return [line.split("\t") for line in done.stdout.splitlines()]

    def quiet(self):
        """Writes back what the last load has changed, and waits for vacuums, so that the next one does not pay for it."""
        self.sql("checkpoint")
        vacuums = "select count(*) from pg_stat_activity where backend_type = 'autovacuum worker'"
        until(lambda: self.sql(vacuums) == [["0"]] or time.sleep(0.2), "a vacuum", QUIET_SECONDS_MAX)

    def database(self, name):
        """A further database with berth's schema; gives its URL."""
        self.sql(f"create database {name}")
        url = self.database_url.rsplit("/", 1)[0] + f"/{name}"
        command = [self.berth, "migrate", "--database-url", url]
        done = subprocess.run(command, capture_output=True, text=True, env=self.environment)
        if done.returncode != 0:
            raise Failed(f"berth migrate: {done.stderr.strip()}")
        return url

    @contextlib.contextmanager
    def another_worker(self, root="berth", database_url=None):
        """A worker as a process of its own: one more of the same berth, or with a root and database of another."""
        url = f"http://127.0.0.1:{free_port()}"
        database_url = database_url or self.database_url
        own = {
            "DATABASE_URL": database_url,
            "NATS_URL": self.nats_url,
            "BERTH_SUBJECT_ROOT": root,
            "BERTH_HTTP_ADDR": url.removeprefix("http://"),
        }
        is_ready = lambda: http(f"{url}/ready") is not None
        log = self.folder / f"worker-{root}.log"
        with server([self.berth, "worker"], is_ready, log, {**self.environment, **own}) as process:
            yield Worker(process, url, root, database_url)
