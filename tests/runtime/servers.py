"""Which services do the tests talk to? Real ones on this machine: moto's S3, an emulator of GCS, redis, PostgreSQL.

Each is a context manager that ends its server. S3 and GCS are reached through a `Proxy`, which records every request
and can make them slow or let them fail. `GCSFront` is a proxy that adds to gcp-storage-emulator what the service
promises and the emulator leaves out: conditions, generations beside the bytes, pages of lists, texts of errors.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, quote, unquote, urlsplit

from tests.runtime.network_faults import Faults, needs_bytes, refusal, schedule

HOST = "127.0.0.1"
_NOT_PASSED_ON = frozenset({"connection", "content-length", "expect", "keep-alive", "transfer-encoding"})


class Asked(NamedTuple):
    """A request as it came: `kind` is one of put, get, head, list, delete, post."""

    kind: str
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def query(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}


class Given(NamedTuple):
    """An answer."""

    status: int
    headers: dict[str, str]
    body: bytes


class Proxy:
    """Passes requests on to a server, and records them.

    Attributes
    ----------
    url
        Where it listens.
    requests
        Every request so far.
    answers
        Of every request that was answered: its kind, the status, the bytes.
    delay
        Seconds that each request waits.
    trickle
        How many bytes a "slow" answer brings at once, and the seconds between.
    """

    xml = True
    """Whether refusals are written as S3 does."""

    head_of_bodies = 0
    """Bytes of a request's body that are read before a fault is chosen."""

    def __init__(self, upstream: str) -> None:
        self._upstream = urlsplit(upstream)
        self._changing = threading.Lock()
        self._over = threading.Event()
        self._server = _Server((HOST, 0), _Handler)
        self._server.proxy = self
        self.url = f"http://{HOST}:{self._server.server_address[1]}"
        self.reset()

    def reset(self) -> None:
        """Forget the requests; be fast, and without faults."""
        self.requests: list[Asked] = []
        self.answers: list[tuple[str, int, int]] = []
        self.delay = 0.0
        self.trickle = (1024, 0.1)
        self._faults = Faults()

    def count(self) -> Counter[str]:
        """Return how many requests there were of each kind."""
        return Counter(asked.kind for asked in self.requests)

    @property
    def delivered(self) -> Counter[tuple[str, str]]:
        """How often each fault was delivered to requests of each kind."""
        return self._faults.delivered

    def fail(self, how: str, kind: str = "", times: int | None = 1, after: int = 0, **more: Any) -> None:
        """Let requests fail that are still to come.

        Parameters
        ----------
        how
            One of `network_faults.HOWS`, or the answer: a status and the service's word, such as "403 AccessDenied".
        kind
            Only requests of this kind; any by default.
        times
            How many; None: all.
        after
            How many of those pass before.
        more
            `every`: each n-th of them only. `matching`: a regular expression that finds something in method and path,
            as in "PUT /bucket/log/x". `rate` and `seed`: which of them, by chance; the seed is printed.
        """
        self._faults.add(schedule(how, kind, times, after, **more))

    @contextmanager
    def down(self) -> Iterator[None]:
        """Listen no more until the block ends: connections are refused, and those that are open end."""
        address = self._server.server_address
        self._stop()
        with socket.socket() as probe:
            if probe.connect_ex((HOST, int(address[1]))) == 0:
                raise RuntimeError("the proxy still listens")
        self._faults.note("refused", "connection")
        try:
            yield
        finally:
            self._server = _Server((HOST, int(address[1])), _Handler)
            self._server.proxy = self
            self.__enter__()

    def _stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._server.end_connections()

    def __enter__(self) -> Proxy:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name="test-proxy", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._stop()

    # -- one request ---------------------------------------------------------------------------------------------

    def fault_of(self, asked: Asked) -> str:
        """Return the fault that meets a request, of whose body only the beginning has come."""
        return self._faults.choose(asked)

    def record(self, asked: Asked) -> None:
        """Record a request, and wait as long as each has to."""
        self.requests.append(asked)
        if self.delay:
            time.sleep(self.delay)

    def note(self, how: str, asked: Asked) -> None:
        """Count a fault that is delivered."""
        self._faults.note(how, asked.kind)

    def wait_in_silence(self) -> None:
        """Wait until the proxy ends."""
        self._over.wait()

    def kind(self, method: str, path: str) -> str:
        """Return the kind of a request to S3."""
        query = urlsplit(path).query
        if method == "GET":
            return "list" if "list-type=" in query or query.startswith("uploads") else "get"
        if method == "POST":
            return "delete" if query.startswith("delete") else "post"
        return method.lower()

    def answer(self, asked: Asked) -> Given:
        """Return the answer to a request."""
        if asked.method in {"GET", "HEAD"}:
            return self.passed_on(asked)
        with self._changing:  # moto looks at a condition, and stores in a second step; its books have no locks
            return self.passed_on(asked)

    def passed_on(self, asked: Asked) -> Given:
        connection = http.client.HTTPConnection(self._upstream.hostname or HOST, self._upstream.port, timeout=60)
        try:
            headers = {name: value for name, value in asked.headers.items() if name.lower() not in _NOT_PASSED_ON}
            if asked.method in {"POST", "PUT"}:
                headers["Content-Length"] = str(len(asked.body))
            connection.request(asked.method, asked.path, asked.body or None, headers)
            found = connection.getresponse()
            body = found.read()
            kept = {"content-length"} if asked.method == "HEAD" else set()
            told = {name: value for name, value in found.getheaders() if name.lower() not in _NOT_PASSED_ON - kept}
            return Given(found.status, told, body)
        finally:
            connection.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    proxy: Proxy

    def __init__(self, *args: Any) -> None:
        self._connections: set[socket.socket] = set()
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def forget(self, connection: socket.socket) -> None:
        self._connections.discard(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that go away are what some tests are about."""

    def end_connections(self) -> None:
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body in one packet: else each answer waits for the client's acknowledgement
    server: _Server

    def handle_expect_100(self) -> bool:
        done = super().handle_expect_100()
        self.wfile.flush()
        return done

    def do_any(self) -> None:
        proxy = self.server.proxy
        size = int(self.headers.get("Content-Length") or 0)
        asked = Asked(proxy.kind(self.command, self.path), self.command, self.path, dict(self.headers.items()), b"")
        start = self.rfile.read(min(size, proxy.head_of_bodies))
        asked = asked._replace(body=start)
        fault = proxy.fault_of(asked)
        if fault in {"reset", "cut"}:
            proxy.record(asked)
            self.rfile.read(max(0, size // 2 - len(start)) if fault == "cut" else 0)
            proxy.note(fault, asked)
            self._cut(reset=fault == "reset")
            return
        asked = asked._replace(body=start + self.rfile.read(size - len(start)))
        proxy.record(asked)
        given = self._given(asked, fault)
        if fault in {"silent", "silent after"}:
            proxy.note(fault, asked)
            proxy.wait_in_silence()
        if fault in {"lost", "lost reset", "silent", "silent after"}:
            if fault.startswith("lost"):
                proxy.answers.append((asked.kind, given.status, len(given.body)))
                proxy.note(fault, asked)
            self._cut(reset=fault == "lost reset")
            return
        proxy.answers.append((asked.kind, given.status, len(given.body)))
        self._send(asked, given, fault)

    def _given(self, asked: Asked, fault: str) -> Given:
        proxy = self.server.proxy
        if fault[:1].isdigit():
            proxy.note(fault, asked)
            return Given(*refusal(fault, xml=proxy.xml))
        if fault == "silent":
            return Given(0, {}, b"")
        try:
            return proxy.answer(asked)
        except (OSError, http.client.HTTPException) as error:
            return Given(502, {}, str(error).encode())

    def _send(self, asked: Asked, given: Given, fault: str) -> None:
        body = b"" if self.command == "HEAD" else given.body
        fault = fault if needs_bytes(fault) and body else ""
        headers = self._headers(given)
        if fault:
            self.server.proxy.note(fault, asked)
            body, headers["Content-Length"] = _changed(body, fault)
        self.send_response_only(given.status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if fault == "slow":
            self._trickle(body)
        else:
            self.wfile.write(body)
        if fault == "stall":
            self.wfile.flush()
            self.server.proxy.wait_in_silence()
        if fault in {"cut answer", "stall", "long"}:
            self._cut()

    def _headers(self, given: Given) -> dict[str, str]:
        told = {name.lower(): name for name in given.headers}
        headers = {**given.headers, **({} if "date" in told else {"Date": self.date_time_string()})}
        length = headers.pop(told.get("content-length", ""), str(len(given.body)))
        return {**headers, "Content-Length": length}

    def _trickle(self, body: bytes) -> None:
        size, seconds = self.server.proxy.trickle
        for start in range(0, len(body), size):
            self.wfile.write(body[start : start + size])
            self.wfile.flush()
            time.sleep(seconds)

    def _cut(self, reset: bool = False) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.wfile.flush()
            if reset:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.server.forget(self.connection)
                socket.close(self.connection.detach())  # while files of it are open, its own close would do nothing
                return
            self.connection.shutdown(socket.SHUT_RDWR)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_PATCH = do_any

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def _changed(body: bytes, fault: str) -> tuple[bytes, str]:
    """Return the bytes that are sent, and the length that is told."""
    half = body[: len(body) // 2]
    if fault in {"cut answer", "stall"}:
        return half, str(len(body))
    if fault == "short":
        return half, str(len(half))
    if fault == "long":
        return body, str(len(body) + 10)
    if fault == "corrupt":
        place = len(body) // 2
        body = body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]
    return body, str(len(body))


class GCSFront(Proxy):
    """Adds to gcp-storage-emulator what the service promises.

    Attributes
    ----------
    unfinished
        The resumable uploads that have begun, and neither ended nor been given up.
    """

    xml = False
    head_of_bodies = 4000  # small objects have their names there

    def __init__(self, upstream: str) -> None:
        super().__init__(upstream)
        self._turn = threading.RLock()  # a condition, and what happens under it
        self.unfinished: set[str] = set()
        self._ended: dict[str, Given] = {}

    def fault_of(self, asked: Asked) -> str:
        """Return the fault that meets a request; a pattern is looked for in its path, and in the object's name."""
        return super().fault_of(asked._replace(path=f"{asked.path} {'/'.join(_named(asked))}"))

    def kind(self, method: str, path: str) -> str:
        """Return the kind of a request to GCS; asking for what is known of an object is a head."""
        found = urlsplit(path)
        if method == "GET":
            bucket_only = found.path.rstrip("/").endswith("/o")
            return "list" if bucket_only else "get" if "alt=media" in found.query else "head"
        if method == "POST":
            return "put" if "uploadType=multipart" in found.query or "uploadType=media" in found.query else "post"
        return method.lower()

    def answer(self, asked: Asked) -> Given:
        """Return the answer to a request."""
        with self._turn:  # the emulator does one thing at a time, too
            return self._answer(asked)

    def _answer(self, asked: Asked) -> Given:
        if "upload_id" in asked.query:
            return self._part(asked)
        bucket, name = _named(asked)
        if bucket and name:
            refused = self._condition(asked, bucket, name)
            if refused is not None:
                return refused
        if asked.kind == "list":
            return self._page(asked)
        if asked.kind == "get":
            return self._bytes(asked, bucket, name)
        given = self.passed_on(asked)
        if "uploadType=resumable" in asked.path and given.status == 200:
            self.unfinished.add(_upload_id(given.headers["Location"]))
        if asked.method == "DELETE" and given.status == 200:
            return Given(204, {}, b"")
        return self._explained(given, bucket, name)

    def _known(self, bucket: str, name: str) -> dict[str, Any]:
        path = f"/storage/v1/b/{bucket}/o/{quote(name, safe='')}"
        given = self.passed_on(Asked("head", "GET", path, {}, b""))
        found: dict[str, Any] = json.loads(given.body) if given.status == 200 else {}
        return found

    def _condition(self, asked: Asked, bucket: str, name: str) -> Given | None:
        wanted, unwanted = asked.query.get("ifGenerationMatch"), asked.query.get("ifGenerationNotMatch")
        if wanted is None and unwanted is None:
            return None
        found = self._known(bucket, name)
        generation = found.get("generation", "0")
        if unwanted is not None and unwanted == generation:
            return Given(304, {}, b"") if asked.method == "GET" else _error(412, "a condition does not hold")
        if wanted is not None and wanted != generation and (found or asked.method == "POST"):
            return _error(412, "At least one of the pre-conditions you specified did not hold.")
        return None

    def _bytes(self, asked: Asked, bucket: str, name: str) -> Given:
        found = self._known(bucket, name)
        given = self.passed_on(asked)
        if given.status not in {200, 206}:
            return self._explained(given, bucket, name)
        size = int(found["size"])
        span = next((value for header, value in asked.headers.items() if header.lower() == "range"), "")
        if span and int(span.removeprefix("bytes=").partition("-")[0]) >= size:
            return _error(416, "Request range not satisfiable")
        told = {
            "X-Goog-Generation": found["generation"],
            "X-Goog-Stored-Content-Length": str(size),
            "Last-Modified": format_datetime(datetime.fromisoformat(found["timeCreated"]), usegmt=True),
        }
        return given._replace(headers={**given.headers, **told})

    def _page(self, asked: Asked) -> Given:
        given = self.passed_on(asked)
        if given.status != 200:
            return self._explained(given, _named(asked)[0], "")
        found = json.loads(given.body)
        entries = sorted([(one["name"], one) for one in found["items"]] + [(one, None) for one in found["prefixes"]])
        start, most = asked.query.get("pageToken", ""), min(int(asked.query.get("maxResults", 1000)), 1000)
        rest = [entry for entry in entries if entry[0] > start]
        page = rest[:most]
        answer = {
            "items": [one for _, one in page if one is not None],
            "prefixes": [name for name, one in page if one is None],
            **({"nextPageToken": page[-1][0]} if len(rest) > most else {}),
        }
        return given._replace(body=json.dumps(answer).encode())

    def _part(self, asked: Asked) -> Given:
        number = asked.query["upload_id"]
        if number not in self.unfinished:
            return self._ended.get(number) or _error(410, "The upload has been given up.")
        if asked.method == "DELETE":
            self.unfinished.discard(number)
            return Given(499, {}, b"")
        given = self.passed_on(asked)
        if given.status == 308 and given.headers.get("Range") == "bytes=0-0":
            del given.headers["Range"]  # so the emulator says that nothing has arrived
        arrived = re.search(rb"Invalid Content-Range start: expected (\d+), got", given.body)
        if arrived and given.status == 400:  # the service passes over what it has already
            given = Given(308, {"Range": f"bytes=0-{int(arrived[1]) - 1}"}, b"")
        if given.status == 200:
            self.unfinished.discard(number)
            self._ended[number] = given
        return given

    def _explained(self, given: Given, bucket: str, name: str) -> Given:
        if given.status != 404:
            return given
        there = self.passed_on(Asked("head", "GET", f"/storage/v1/b/{bucket}", {}, b"")).status == 200
        return _error(404, f"No such object: {bucket}/{name}" if there else "The specified bucket does not exist.")


def _named(asked: Asked) -> tuple[str, str]:
    """Return the bucket and the object of a request."""
    path = urlsplit(asked.path).path
    _, _, rest = path.partition("/b/")
    bucket, _, name = rest.partition("/o/")
    bucket = bucket.removesuffix("/o")
    if not name and asked.method == "POST":
        name = asked.query.get("name", "")
        if not name and b"{" in asked.body:  # in the description instead of the query
            described = asked.body[asked.body.index(b"{") :].decode("latin-1")
            with suppress(ValueError):
                name = json.JSONDecoder().raw_decode(described)[0].get("name", "")
        return bucket, name
    return bucket, unquote(name)


def _upload_id(location: str) -> str:
    return parse_qs(urlsplit(location).query)["upload_id"][0]


def _error(status: int, message: str) -> Given:
    body = json.dumps({"error": {"code": status, "message": message}}).encode()
    return Given(status, {"Content-Type": "application/json; charset=UTF-8"}, body)


# -- servers ---------------------------------------------------------------------------------------------------------

_S3 = """
import os, sys
# So that a few small parts make a large object, and objects are kept in memory as far as they usually are.
os.environ |= {"S3_UPLOAD_PART_MIN_SIZE": "1", "MOTO_S3_DEFAULT_KEY_BUFFER_SIZE": "5000000"}
from moto.server import main
main(["-H", "127.0.0.1", "-p", sys.argv[1]])
"""

_GCS = """
import logging, sys
from gcp_storage_emulator import server, storage
logging.disable(logging.CRITICAL)
# It writes all that it knows of all objects after each request; in memory nobody reads it.
storage.Storage._write_config_to_file = lambda self: None
server.create_server("127.0.0.1", int(sys.argv[1]), in_memory=True).run()
"""

_END_WITH_US = """
import os, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
"""


@contextmanager
def s3_server() -> Iterator[Proxy]:
    """Run moto's S3 until the block ends; requests go through the proxy."""
    with _python(_S3) as port, Proxy(f"http://{HOST}:{port}") as proxy:
        yield proxy


@contextmanager
def gcs_server() -> Iterator[GCSFront]:
    """Run gcp-storage-emulator until the block ends; requests go through the front."""
    with _python(_GCS) as port, GCSFront(f"http://{HOST}:{port}") as front:
        yield front


@contextmanager
def redis_server() -> Iterator[int]:
    """Run a redis server until the block ends; its port is returned."""
    port = _free_port()
    command = [shutil.which("redis-server") or "redis-server", "--port", str(port), "--bind", HOST]
    with _running([*command, "--save", "", "--appendonly", "no"], port):
        yield port


@contextmanager
def postgresql_server() -> Iterator[str]:
    """Run a PostgreSQL server until the block ends; its SQLAlchemy url is returned, with a password."""
    # As root it runs as Debian's user: PostgreSQL refuses root.
    user = "postgres" if getattr(os, "geteuid", lambda: 1)() == 0 else None
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="kart-postgresql-") as folder:
        if user:
            shutil.chown(folder, user)
        password = Path(folder) / "password"
        password.write_text("se:cret/pw\n")
        password.chmod(0o644)
        data = f"{folder}/data"
        options = ["-U", "kart", "--auth=scram-sha-256", f"--pwfile={password}", "--no-sync", "--encoding=UTF8"]
        subprocess.run(
            [_postgresql("initdb"), "-D", data, *options], user=user, cwd=folder, check=True, stdout=subprocess.DEVNULL
        )
        command = [_postgresql("postgres"), "-D", data, "-p", str(port), "-h", HOST, "-k", folder, "-F"]
        process = subprocess.Popen(command, user=user, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _wait_until_ready(Path(data, "postmaster.pid"), process)
            yield f"postgresql+psycopg://kart:{quote('se:cret/pw', safe='')}@{HOST}:{port}/postgres"
        finally:
            process.send_signal(signal.SIGINT)  # a fast shutdown
            process.wait()


def _wait_until_ready(state: Path, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        with suppress(OSError):
            if state.read_text().split()[-1:] == ["ready"]:  # before that it answers, but not to questions
                return
        time.sleep(0.05)
    raise RuntimeError(f"the server does not start: {server.args!r}")


def _postgresql(program: str) -> str:
    """Return the path of a program of PostgreSQL, which Debian does not put on the path."""
    return shutil.which(program) or str(max(Path("/usr/lib/postgresql").glob(f"*/bin/{program}")))


def make_bucket(proxy: Proxy, name: str) -> None:
    """Make a bucket of a server."""
    if isinstance(proxy, GCSFront):
        asked = Asked("post", "POST", "/storage/v1/b?project=kart", {"Content-Type": "application/json"}, b"")
        given = proxy.passed_on(asked._replace(body=json.dumps({"name": name}).encode()))
    else:
        given = proxy.passed_on(Asked("put", "PUT", f"/{name}", {"Host": urlsplit(proxy.url).netloc}, b""))
    if given.status >= 300:
        raise RuntimeError(f"no bucket {name}: {given}")


def put_many(proxy: Proxy, bucket: str, names: Sequence[str]) -> None:
    """Store objects of one byte, with less effort than a client's, and uncounted."""

    def put(name: str) -> None:
        if isinstance(proxy, GCSFront):
            path = f"/upload/storage/v1/b/{bucket}/o?uploadType=media&name={quote(name, safe='')}"
            asked = Asked("put", "POST", path, {"Content-Type": "application/octet-stream"}, b"x")
        else:
            asked = Asked("put", "PUT", f"/{bucket}/{quote(name)}", {"Host": urlsplit(proxy.url).netloc}, b"x")
        given = proxy.passed_on(asked)
        if given.status >= 300:
            raise RuntimeError(f"{name} is not stored: {given}")

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(put, names))


def environment(proxy: Proxy) -> dict[str, str]:
    """Return the environment variables by which the clients find a server."""
    if isinstance(proxy, GCSFront):
        return {"STORAGE_EMULATOR_HOST": proxy.url}
    return {
        "AWS_ENDPOINT_URL": proxy.url,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }


@contextmanager
def _python(code: str) -> Iterator[int]:
    port = _free_port()
    with _running([sys.executable, "-c", _END_WITH_US + code, str(port)], port):
        yield port


@contextmanager
def _running(command: list[str], port: int) -> Iterator[None]:
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, stdin=subprocess.PIPE, env={**os.environ, "PYTHONWARNINGS": ""}, **quiet) as server:
        try:
            _wait_for(port, server)
            yield
        finally:
            server.terminate()
            try:
                server.wait(5)
            except subprocess.TimeoutExpired:
                server.kill()


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise RuntimeError(f"the server ended: {server.args!r}")
        with suppress(OSError), socket.create_connection((HOST, port), timeout=1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"the server does not answer: {server.args!r}")


def _free_port() -> int:
    with socket.socket() as free:
        free.bind((HOST, 0))
        number: int = free.getsockname()[1]
        return number
