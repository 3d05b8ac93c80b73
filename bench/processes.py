"""Servers that a measurement starts: ready when they say so, ended when the block is left."""

import contextlib
import random
import signal
import socket
import subprocess
import time
import urllib.request

READY_SECONDS_MAX = 60
STOP_SECONDS_MAX = 60
POLL_SECONDS = 0.02
# Below the range from which Linux takes the local ports of outgoing connections.
PORTS = range(16_384, 32_768)


class Failed(Exception):
    """One sentence: what did not work."""


def free_port():
    for _ in range(64):
        port = random.choice(PORTS)
        with socket.socket() as probe:
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    raise Failed("no port is free")


def until(is_so, what, seconds=READY_SECONDS_MAX):
    """Asks again and again until it is so."""
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            raise Failed(f"{what} took more than {seconds} seconds")
        time.sleep(POLL_SECONDS)


def http(url):
    """The body, or None where nobody answers with 200."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.read().decode() if answer.status == 200 else None
    except OSError:
        return None


def stop(process):
    process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextlib.contextmanager
def server(command, is_ready, log, environment=None):
    """Yields the process once it is ready. What it says is in `log`."""
    with open(log, "w", encoding="utf-8") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, env=environment)

    def ready():
        if process.poll() is not None:
            raise Failed(f"{command[0]} ended at its start: see {log}")
        return is_ready()

    try:
        until(ready, f"the start of {command[0]}")
        yield process
    finally:
        stop(process)
