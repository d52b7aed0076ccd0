"""Local object-store servers, each behind a proxy that counts and delays requests.

Both are separate processes on free ports of this machine. They end with the bench, however it ends: each reads its
standard input and exits at the end of it. Used by `sections.remote`.
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
"""The services, each with the scheme of its URLs."""

TIMEOUT = 60  # seconds
PROBES = 300
EMPTY = {"s3": (("POST", "/moto-api/reset"), ("PUT", f"/{BUCKET}")), "gs": (("GET", "/wipe?keep-buckets=1"),)}
MISSING = {"s3": ("HEAD", f"/{BUCKET}/none"), "gs": ("GET", f"/storage/v1/b/{BUCKET}/o/none")}


class LineProcess:
    """A process that prints lines, and answers each line that it reads with one line."""

    def __init__(self, command: tuple[str | Path, ...], log: Path) -> None:
        self._name, self._log = " ".join(map(str, command[2:])), log
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                [str(part) for part in command], env=environment() | {"PYTHONPATH": f"{SCRIPTS}:{SCRIPTS.parent}"},
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True,
            )  # fmt: skip

    def read_line(self) -> str:
        """Return the next line; raise RuntimeError with the process's log if there is none."""
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            line = self._process.stdout.readline() if selector.select(TIMEOUT) else ""
        if not line:
            raise RuntimeError(f"{self._name} printed nothing: {self._log.read_text(errors='replace')[-2000:]}")
        return line.strip()

    def request(self, line: str) -> str:
        """Send a line, and return the answer."""
        assert self._process.stdin is not None
        print(line, file=self._process.stdin, flush=True)
        return self.read_line()

    def stop(self) -> None:
        """Stop the process, and kill it if it does not exit."""
        assert self._process.stdin is not None
        with self._process:  # closes the pipes, and waits
            self._process.stdin.close()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()


class Service:
    """A running server and its proxy.

    `address` is the URL for the programs; `name` and `scheme` are from `SERVICES`.
    """

    def __init__(self, name: str, port: int, proxy: LineProcess) -> None:
        self.name, self.scheme = name, SERVICES[name]
        self._port, self._proxy = port, proxy
        self._proxy_port = int(proxy.read_line())
        self.address = f"http://127.0.0.1:{self._proxy_port}"

    def clear(self) -> None:
        """Delete all objects, but not the bucket."""
        for method, path in EMPTY[self.scheme]:
            send(self._port, method, path)

    def begin(self, milliseconds: float) -> None:
        """Reset the counts, and set the delay of each request."""
        self._proxy.request(f"begin {milliseconds}")

    def counts(self) -> dict[str, int]:
        """Return the number of requests of each kind."""
        return dict(json.loads(self._proxy.request("counts")))

    def rates(self) -> tuple[float, float]:
        """Return the requests per second of one client, to the server directly and through the proxy."""
        self.clear()
        rate(self._port, self.scheme)  # warm up: the first requests load modules in the server
        return rate(self._port, self.scheme), rate(self._proxy_port, self.scheme)


def rate(port: int, scheme: str) -> float:
    """Return the number of answers per second to requests for a missing object."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    started = time.perf_counter()
    for _ in range(PROBES):
        connection.request(*MISSING[scheme])
        connection.getresponse().read()
    connection.close()
    return PROBES / (time.perf_counter() - started)


def send(port: int, method: str, path: str) -> None:
    """Send one request to a local server; raise RuntimeError if it fails."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    connection.request(method, path, headers={"Content-Length": "0"})
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    if answer.status >= 300:
        raise RuntimeError(f"{method} {path}: {answer.status} {text[:200]!r}")


@contextmanager
def service(bench: Bench, name: str) -> Iterator[Service]:
    """Run a server and its proxy until the block ends.

    The server runs in the environment `servers`; the proxy is that of the tests, which needs nothing but Python.
    """
    scheme = SERVICES[name]
    with ExitStack() as running:

        def start(python: Path, worker: str, *arguments: object) -> LineProcess:
            words = [str(argument) for argument in arguments]
            process = LineProcess(
                (python, "-m", f"bench_lib.workers.{worker}", *words), bench.scratch / f"{worker}.log"
            )
            running.callback(process.stop)
            return process

        port = int(start(bench.python("servers"), "remote_server", scheme).read_line())
        yield Service(name, port, start(Path(sys.executable), "remote_proxy", scheme, port))
