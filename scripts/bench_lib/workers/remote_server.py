"""moto's S3 or gcp-storage-emulator, on a port of its own: ``remote_server SCHEME``.

Prints the port when it is ready, and ends when its standard input does, so that it never outlives the bench. Two
habits are turned off that have nothing to do with requests and would hide their cost: the emulator writes down all that
it knows after each change, and both copy a large object for each of its parts. And the emulator hangs up on an empty
object, such as gokart stores for each task; here it takes it.
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


class Kept(io.BytesIO):
    """A file in memory that gives out the very bytes that it was given."""

    def __init__(self, *_limits: int) -> None:
        super().__init__()

    def write(self, data: Any) -> int:
        """Take bytes; those that are all there is are not copied."""
        if self.tell() or self.getbuffer().nbytes:
            return super().write(data)
        io.BytesIO.__init__(self, data)
        return self.seek(len(data))


class Tempfile:
    """The part of ``tempfile`` that moto uses."""

    SpooledTemporaryFile = Kept


def imported(*names: str) -> list[Any]:
    """Return modules of the servers' environment."""
    return [importlib.import_module(name) for name in names]


def moto() -> Any:
    """Return moto's server."""
    serving, app, models = imported("werkzeug.serving", "moto.moto_server.werkzeug_app", "moto.s3.models")
    models.tempfile = Tempfile
    dispatcher = app.DomainDispatcherApplication(app.create_backend_app)
    return serving.make_server("127.0.0.1", 0, dispatcher, threaded=True, request_handler=app.MotoRequestHandler)


class Server(http.server.HTTPServer):
    """A server that is asked by many at once."""

    request_queue_size = 128


def emulator() -> Any:
    """Return the emulator's server."""
    storage, server, buckets = imported(
        "gcp_storage_emulator.storage", "gcp_storage_emulator.server", "gcp_storage_emulator.handlers.buckets"
    )
    kept = storage.Storage(use_memory_fs=True)
    kept._write_config_to_file = lambda: None
    add, write = kept.add_to_resumable_upload, kept._store.write_bytes

    def added(*arguments: Any, **named: Any) -> bytes | None:
        whole = add(*arguments, **named)
        return None if whole is None else bytes(whole)

    def written(path: str, content: bytes) -> None:
        write(path, bytearray(content) if path.startswith("_resumable/") and type(content) is bytes else content)

    kept.add_to_resumable_upload, kept._store.write_bytes = added, written
    data_of = server._read_data

    def data(handler: Any, query: dict[str, list[str]]) -> Any:
        found = data_of(handler, query)
        return b"" if found is None and query.get("uploadType") == ["media"] else found

    server._read_data = data
    buckets.create_bucket(BUCKET, kept)
    return Server(("127.0.0.1", 0), functools.partial(server.RequestHandler, kept))


def end_with_input() -> None:
    """End this process as soon as nobody holds the other end of its standard input."""
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    serving = moto() if sys.argv[1] == "s3" else emulator()
    threading.Thread(target=end_with_input, daemon=True).start()
    print(serving.server_address[1], flush=True)
    serving.serve_forever()
