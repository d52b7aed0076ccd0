"""What do programs speak to that store elsewhere? A server of objects, and before it a proxy that counts and delays.

Both are processes of their own, on free ports of this machine. They end when the bench does, however that ends: each
reads its standard input, and goes when there is nobody to write to it. Called by ``sections.remote``.
"""

from __future__ import annotations

import http.client
import json
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench_lib.bench import Bench
from bench_lib.child import SCRIPTS, environment
from bench_lib.workers.remote_service import BUCKET

SERVICES = {"S3": "s3", "GCS": "gs"}
"""The services, each with the scheme of its urls."""

PATIENCE = 60  # seconds
PROBES = 300
EMPTYING = {"s3": (("POST", "/moto-api/reset"), ("PUT", f"/{BUCKET}")), "gs": (("GET", "/wipe?keep-buckets=1"),)}
MISSING = {"s3": ("HEAD", f"/{BUCKET}/none"), "gs": ("GET", f"/storage/v1/b/{BUCKET}/o/none")}


class Listener:
    """A process that says lines, and answers lines."""

    def __init__(self, command: tuple[str | Path, ...], log: Path) -> None:
        self._name, self._log = " ".join(map(str, command[2:])), log
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                [str(part) for part in command], env=environment() | {"PYTHONPATH": f"{SCRIPTS}:{SCRIPTS.parent}"},
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True,
            )  # fmt: skip

    def hear(self) -> str:
        """Return the next line; RuntimeError with what the process has written when there is none."""
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            line = self._process.stdout.readline() if selector.select(PATIENCE) else ""
        if not line:
            raise RuntimeError(f"{self._name} says nothing: {self._log.read_text(errors='replace')[-2000:]}")
        return line.strip()

    def ask(self, line: str) -> str:
        """Say a line, and return the answer."""
        assert self._process.stdin is not None
        print(line, file=self._process.stdin, flush=True)
        return self.hear()

    def end(self) -> None:
        """Let the process end, and see that it does."""
        assert self._process.stdin is not None
        with self._process:  # closes the pipes, and waits
            self._process.stdin.close()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()


class Service:
    """A server and its proxy, which run.

    ``address`` is what programs are told; ``name`` and ``scheme`` are of `SERVICES`.
    """

    def __init__(self, name: str, port: int, proxy: Listener) -> None:
        self.name, self.scheme = name, SERVICES[name]
        self._port, self._proxy = port, proxy
        self._proxy_port = int(proxy.hear())
        self.address = f"http://127.0.0.1:{self._proxy_port}"

    def empty(self) -> None:
        """Remove everything but the bucket."""
        for method, path in EMPTYING[self.scheme]:
            ask(self._port, method, path)

    def begin(self, milliseconds: float) -> None:
        """Count from 0 again, and delay each request."""
        self._proxy.ask(f"begin {milliseconds}")

    def counts(self) -> dict[str, int]:
        """Return how many requests there were of each kind."""
        return dict(json.loads(self._proxy.ask("counts")))

    def rates(self) -> tuple[float, float]:
        """Return how many requests a second one client gets answered: by the server, and through the proxy."""
        self.empty()
        rate(self._port, self.scheme)  # the first requests load what the server needs
        return rate(self._port, self.scheme), rate(self._proxy_port, self.scheme)


def rate(port: int, scheme: str) -> float:
    """Return how often in a second a client is told that something is not there."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    started = time.perf_counter()
    for _ in range(PROBES):
        connection.request(*MISSING[scheme])
        connection.getresponse().read()
    connection.close()
    return PROBES / (time.perf_counter() - started)


def ask(port: int, method: str, path: str) -> None:
    """Send one request to a server of this machine; RuntimeError when it refuses."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.request(method, path, headers={"Content-Length": "0"})
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    if answer.status >= 300:
        raise RuntimeError(f"{method} {path}: {answer.status} {text[:200]!r}")


@contextmanager
def service(bench: Bench, name: str) -> Iterator[Service]:
    """Run a server and its proxy until the block ends.

    The server is of the environment ``servers``; the proxy is the tests', which needs nothing but Python.
    """
    scheme = SERVICES[name]
    with ExitStack() as running:

        def begun(python: Path, worker: str, *arguments: object) -> Listener:
            words = [str(argument) for argument in arguments]
            listener = Listener((python, "-m", f"bench_lib.workers.{worker}", *words), bench.scratch / f"{worker}.log")
            running.callback(listener.end)
            return listener

        port = int(begun(bench.python("servers"), "remote_server", scheme).hear())
        yield Service(name, port, begun(Path(sys.executable), "remote_proxy", scheme, port))
