"""moto's S3 or gcp-storage-emulator, on a free port: ``remote_server SCHEME``.

It prints the port when it is ready, and ends when its standard input ends, so that it never outlives the bench. Two
habits that would hide the cost of requests are disabled: the emulator writes its whole state after each change, and
both servers copy a large object for each of its parts. The emulator also closes the connection on an empty object,
which gokart stores for each task; here it accepts it.
"""

from __future__ import annotations

import functools
import http.server
import importlib
import io
import logging
import os
import sys
import threading
from typing import Any

from bench_lib.workers.remote_service import BUCKET


class UncopiedFile(io.BytesIO):
    """An in-memory file that returns the very bytes object that was written."""

    def __init__(self, *_limits: int) -> None:
        super().__init__()

    def write(self, data: Any) -> int:
        """Write bytes; the first ones are not copied."""
        if self.tell() or self.getbuffer().nbytes:
            return super().write(data)
        io.BytesIO.__init__(self, data)
        return self.seek(len(data))


class Tempfile:
    """The part of ``tempfile`` that moto uses."""

    SpooledTemporaryFile = UncopiedFile


def imported(*names: str) -> list[Any]:
    """Import modules of the servers' environment."""
    return [importlib.import_module(name) for name in names]


def moto() -> Any:
    """Return moto's server."""
    serving, app, models = imported("werkzeug.serving", "moto.moto_server.werkzeug_app", "moto.s3.models")
    models.tempfile = Tempfile
    dispatcher = app.DomainDispatcherApplication(app.create_backend_app)
    return serving.make_server("127.0.0.1", 0, dispatcher, threaded=True, request_handler=app.MotoRequestHandler)


class Server(http.server.HTTPServer):
    """A server for many simultaneous clients."""

    request_queue_size = 128


def emulator() -> Any:
    """Return the emulator's server."""
    storage, server, buckets = imported(
        "gcp_storage_emulator.storage", "gcp_storage_emulator.server", "gcp_storage_emulator.handlers.buckets"
    )
    store = storage.Storage(use_memory_fs=True)
    store._write_config_to_file = lambda: None
    add, write = store.add_to_resumable_upload, store._store.write_bytes

    def added(*arguments: Any, **named: Any) -> bytes | None:
        whole = add(*arguments, **named)
        return None if whole is None else bytes(whole)

    def written(path: str, content: bytes) -> None:
        write(path, bytearray(content) if path.startswith("_resumable/") and type(content) is bytes else content)

    store.add_to_resumable_upload, store._store.write_bytes = added, written
    data_of = server._read_data

    def data(handler: Any, query: dict[str, list[str]]) -> Any:
        body = data_of(handler, query)
        return b"" if body is None and query.get("uploadType") == ["media"] else body

    server._read_data = data
    buckets.create_bucket(BUCKET, store)
    return Server(("127.0.0.1", 0), functools.partial(server.RequestHandler, store))


def end_with_input() -> None:
    """End this process when its standard input is closed."""
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    serving = moto() if sys.argv[1] == "s3" else emulator()
    threading.Thread(target=end_with_input, daemon=True).start()
    print(serving.server_address[1], flush=True)
    serving.serve_forever()
