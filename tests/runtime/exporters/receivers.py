"""Receivers of exports on this machine, with real sockets: those that answer, and all the others."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

HOST = "127.0.0.1"


class Receiver(ThreadingHTTPServer):
    """An HTTP server that records requests as (path, headers, body), and answers what `answer` returns.

    That is a status, or a status and a body.
    """

    daemon_threads = True

    def __init__(self, answer=lambda path, body: 200):
        super().__init__((HOST, 0), _Handler)
        self.answer, self.requests = answer, []

    def handle_error(self, *_arguments):
        pass  # the other side has hung up

    @property
    def url(self):
        return f"http://{HOST}:{self.server_port}"

    @property
    def bodies(self):
        return [json.loads(body) for _, _, body in self.requests]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.requests.append((self.path, dict(self.headers), body))
        answer = self.server.answer(self.path, body)
        status, given = answer if isinstance(answer, tuple) else (answer, b"")
        self.send_response(status)
        self.send_header("Content-Length", str(len(given)))
        self.end_headers()
        self.wfile.write(given)

    do_GET = do_POST

    def log_message(self, *_arguments):
        pass


@contextmanager
def receiver(answer=lambda path, body: 200):
    """A receiver that answers."""
    with Receiver(answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def _socket(talk):
    """The url of a server that does something to each connection."""
    with socket.create_server((HOST, 0)) as server, ExitStack() as open_sockets:

        def serve():
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                open_sockets.callback(connection.close)
                try:
                    talk(connection)
                except OSError:
                    continue

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://{HOST}:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


def _garbage(connection):
    connection.recv(65536)
    connection.sendall(b"\x00\xffthis is no HTTP\r\n\r\n")
    connection.close()


def _hang_up(connection):
    connection.close()


@contextmanager
def _dead():
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
    yield f"http://{HOST}:{port}"


@contextmanager
def _unknown():
    yield "http://no-such-host.invalid:5000"


@contextmanager
def _answering(status, body=b""):
    with receiver(lambda _path, _body: (status, body)) as server:
        yield server.url


def _slow(path, body):
    time.sleep(5)
    return 200


@contextmanager
def _sleeping():
    with Receiver(_slow) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server.url
        server.shutdown()
        server.block_on_close = False


BAD = {
    "hangs": lambda: _socket(lambda connection: None),
    "sleeps": _sleeping,
    "hangs up": lambda: _socket(_hang_up),
    "garbage": lambda: _socket(_garbage),
    "dead": _dead,
    "unknown host": _unknown,
    "500": lambda: _answering(500, b"<html>oops</html>"),
    "403": lambda: _answering(403, b"no"),
}
"""Receivers that take nothing: context managers of their url."""


class Mlflow:
    """What `MlflowExporter` uses of a tracking server; `runs` has id to run."""

    def __init__(self):
        self.runs, self.experiments, self.requests = {}, {"Default": "0"}, []

    def __call__(self, path, body):
        place = urlsplit(path)
        endpoint = place.path.removeprefix("/api/2.0/mlflow/")
        values = json.loads(body) if body else {key: found[0] for key, found in parse_qs(place.query).items()}
        self.requests.append(endpoint)
        answer = getattr(self, re.sub(r"\W", "_", endpoint))(values)
        return (
            (404, b'{"error_code": "RESOURCE_DOES_NOT_EXIST"}')
            if answer is None
            else (200, json.dumps(answer).encode())
        )

    def experiments_get_by_name(self, values):
        known = self.experiments.get(values["experiment_name"])
        return known and {"experiment": {"experiment_id": known}}

    def experiments_create(self, values):
        return {"experiment_id": self.experiments.setdefault(values["name"], str(len(self.experiments)))}

    def runs_create(self, values):
        run_id = f"{len(self.runs):032x}"
        tags = {tag["key"]: tag["value"] for tag in values["tags"]}
        self.runs[run_id] = {
            **values,
            "run_id": run_id,
            "tags": tags,
            "params": {},
            "metrics": set(),
            "status": "RUNNING",
        }
        return {"run": {"info": {"run_id": run_id}}}

    def runs_search(self, values):
        tag, value = re.fullmatch(r"tags\.`(.+)` = '(.*)'", values["filter"]).groups()
        found = [run for run in self.runs.values() if run["tags"].get(tag) == value]
        found = [run for run in found if run["experiment_id"] in values["experiment_ids"]][: values["max_results"]]
        return {
            "runs": [
                {
                    "info": {"run_id": run["run_id"]},
                    "data": {"tags": [{"key": key, "value": text} for key, text in run["tags"].items()]},
                }
                for run in found
            ]
        }

    def runs_log_batch(self, values):
        run = self.runs[values["run_id"]]
        run["params"] |= {each["key"]: each["value"] for each in values.get("params", ())}
        run["tags"] |= {each["key"]: each["value"] for each in values.get("tags", ())}
        run["metrics"] |= {tuple(each.values()) for each in values.get("metrics", ())}
        return {}

    def runs_update(self, values):
        self.runs[values["run_id"]] |= values
        return {"run_info": {}}
