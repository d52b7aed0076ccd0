"""Store for Google Cloud Storage, by Google's client.

Google's libraries find the credentials: ``GOOGLE_APPLICATION_CREDENTIALS``, the login of ``gcloud``, the machine's
service account; ``STORAGE_EMULATOR_HOST`` names another service, which needs none. As in gokart, an environment
variable may hold a service account's JSON or the path of it; ``gcs_credential_name`` in the section ``[GCSConfig]`` of
luigi's configuration names it (default: ``GCS_CREDENTIAL``).
"""

from __future__ import annotations

import io
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any, BinaryIO

import luigi

from kart_runtime.errors import ConfigError, ObjectMissing, RequestFailed, require_extra
from kart_runtime.storage.stores import Stat, Versioned, upload
from kart_runtime.storage.stores.clients import Clients
from kart_runtime.storage.stores.object_cache import UNKNOWN_SIZE, ObjectReplaced
from kart_runtime.storage.stores.objects import Chunk, Labels, ObjectStore, Page, split

_CLIENT = ("a workspace in GCS needs google-cloud-storage", "gcs")

_CONNECT_SECONDS, _READ_SECONDS = 10, 60
_TRY_SECONDS = 30.0
"""Seconds for which a request is retried that got no answer, or an answer to retry it."""

_FIRST_PAUSE, _LAST_PAUSE = 0.3, 8.0
"""Seconds between two retries."""

_CONNECTIONS = 64
_SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
_UPLOAD = {"content_type": "application/octet-stream", "checksum": "crc32c"}

_LOG_IN = "Check the credentials: GOOGLE_APPLICATION_CREDENTIALS, gcloud auth application-default login."
_REACH = "Check that this machine can reach the service, and that STORAGE_EMULATOR_HOST is right if it is set."
_HINTS = {
    401: _LOG_IN,
    403: "Allow these credentials to list, read, write and delete objects there.",
    404: "Create the bucket, or correct the workspace's url.",
}
_NOT_MODIFIED, _MISSING, _CHANGED, _TOO_FAR = 304, 404, 412, 416


class GCSStore(ObjectStore):
    """Objects in Google Cloud Storage, under urls like ``gs://bucket/folder/x.pkl``."""

    scheme = "gs"
    supports_labels = True

    def __init__(self) -> None:
        self._ahead = 0.0
        """Seconds by which the service's clock is ahead of ours, as far as known."""

    def service_id(self) -> str:
        """Return the address of the service."""
        with self._request("", "find the service"):
            return str(_client().api_endpoint)

    def _stat(self, key: str) -> Stat | None:
        bucket, name = split(key)
        with self._request(key, "look for"):
            blob = _bucket(bucket).get_blob(name, **_retries())
        return None if blob is None else _stat_of(key, blob)

    def get(self, key: str, start: int, length: int, unless: str = "", only: str = "") -> Chunk | None:
        """Return up to `length` bytes of an object, None if its generation is still `unless`."""
        with self._request(key, "read"):
            blob = _blob(key)
        conditions: dict[str, Any] = {"if_generation_not_match": int(unless)} if unless else {}
        if only:
            conditions["if_generation_match"] = int(only)
        try:
            data = self._download(key, blob, start, start + length - 1, conditions)
        except RequestFailed as error:
            status = _status(error.__cause__)
            if status == _NOT_MODIFIED:
                return None
            if status == _CHANGED:
                raise ObjectReplaced(self.url(key)) from error
            if status != _TOO_FAR or start:
                raise
            data = b""  # an empty object has no first byte
        if only:
            return Chunk(data, only, UNKNOWN_SIZE)
        generation = blob.generation
        if generation is None or len(data) == length:
            with self._request(key, "read"):  # an answer with a part does not contain the size of the whole
                blob.reload(**_retries())
        if generation is not None and int(generation) != int(blob.generation):
            raise ObjectReplaced(self.url(key))
        return Chunk(data, str(blob.generation), len(data) if blob.size is None else int(blob.size))

    def _download(self, key: str, blob: Any, start: int, end: int, conditions: dict[str, Any]) -> bytes:
        with self._request(key, "read"):
            # Raw: otherwise the service decompresses what was stored as gzip, and the size differs.
            data: bytes = blob.download_as_bytes(start=start, end=end, raw_download=True, **conditions, **_retries())
        return data

    def mark_of(self, key: str) -> str:
        """Return the checksum that an object was marked with, "" if it has no mark."""
        bucket, name = split(key)
        with self._request(key, "look for"):
            blob = _bucket(bucket).get_blob(name, **_retries())
        return str((blob.metadata or {}).get(upload.MARK, "")) if blob is not None else ""

    def read(self, key: str) -> Versioned | None:
        """Return a small object with its generation, None if it does not exist."""
        chunk = None
        with suppress(ObjectMissing):
            chunk = self.get(key, 0, upload.PART)
        stat = None if chunk is None else self._stat(key)
        if chunk is None or stat is None:
            return None
        return Versioned(chunk.data, chunk.version, max(time.time() + self._ahead - stat.modified, 0.0))

    def put(self, key: str, data: bytes, labels: Labels | None = None) -> str:
        """Store an object, with its labels, by one request; return its generation."""
        return self._put(key, data, labels)

    def _put(self, key: str, data: bytes, labels: Labels | None = None, **conditions: int) -> str:
        with self._request(key, "write"):
            blob = _blob(key, labels)
            blob.upload_from_file(io.BytesIO(data), size=len(data), **_UPLOAD, **conditions, **_retries())
        return str(blob.generation)

    def upload(self, key: str, file: BinaryIO, labels: Labels | None = None) -> str:
        """Store a large object from a file by a resumable upload, one part after the other; return its generation."""
        from google.cloud.storage.exceptions import DataCorruption

        with self._request(key, "write"):
            writer = _writer()(_blob(key, labels), chunk_size=upload.PART, **_UPLOAD, **_retries())
            try:
                shutil.copyfileobj(file, writer, upload.PART)
                writer.close()
            except DataCorruption:  # other bytes arrived than were sent, and are visible
                self._delete(key)
                raise
            except BaseException:
                with suppress(Exception):  # the service is away: it deletes the parts after a week
                    _abort(writer)
                raise
        return self._version(key)  # the writer does not return the generation

    def copy(self, source: str, key: str) -> str:
        """Copy an object inside the service, a large one by several requests; return its generation."""
        token: str | None = None
        with self._request(source, "copy"):
            original, blob = _blob(source), _blob(key)
            while True:
                token, _, _ = blob.rewrite(original, token=token, **_retries())
                if token is None:
                    return str(blob.generation or "")

    def page(self, prefix: str, token: str | None = None, *, below: bool = False, after: str = "") -> Page:
        """Return at most 1,000 objects whose keys begin with a prefix."""
        bucket, folder = split(prefix)
        with self._request(prefix, "list"):
            blobs = _client().list_blobs(
                bucket,
                prefix=folder,
                delimiter=None if below else "/",
                page_size=1000,
                page_token=token,
                start_offset=split(after)[1] or None,
                fields="items(name,size,timeCreated,generation),prefixes,nextPageToken",
                **_retries(),
            )
            objects = [_stat_of(f"{bucket}/{blob.name}", blob) for blob in next(blobs.pages, ())]
        folders = [f"{bucket}/{name}" for name in sorted(blobs.prefixes)]
        last = max([*folders[-1:], *(stat.key for stat in objects[-1:])], default="")
        return Page(objects, last, blobs.next_page_token or None)

    def delete(self, key: str) -> bool:
        """Delete an object, by one request; return whether it existed."""
        return self._try_delete(key)

    def _delete(self, key: str) -> None:
        self._try_delete(key)

    def _try_delete(self, key: str, **conditions: int) -> bool:
        try:
            with self._request(key, "delete"):
                _blob(key).delete(**conditions, **_retries())
        except ObjectMissing:
            return False
        return True

    def create(self, key: str, data: bytes) -> str | None:
        """Store an object unless it exists, and return its generation; None if it exists."""
        return self.replace(key, data, "0")

    def replace(self, key: str, data: bytes, version: str) -> str | None:
        """Replace an object that still has a generation, and return the new one; None if it has another."""
        try:
            return self._put(key, data, if_generation_match=int(version))
        except RequestFailed as error:
            if _status(error.__cause__) != _CHANGED:
                raise
            self._compare_clocks(error.__cause__)
            return None

    def delete_version(self, key: str, version: str) -> bool:
        """Delete an object that still has a generation; return whether it was deleted."""
        try:
            return self._try_delete(key, if_generation_match=int(version))
        except RequestFailed as error:
            if _status(error.__cause__) != _CHANGED:
                raise
            return False

    def _compare_clocks(self, error: Any) -> None:
        """Take the service's time from a refusal, since the client does not show that of other answers."""
        date = getattr(getattr(error, "response", None), "headers", {}).get("Date")
        if date:
            # Whole seconds, so half a second is missing on average.
            self._ahead = parsedate_to_datetime(date).timestamp() + 0.5 - time.time()

    @contextmanager
    def _request(self, key: str, what: str) -> Iterator[None]:
        """Convert errors of Google's libraries into errors that name the object."""
        with require_extra(*_CLIENT):
            from google.api_core.exceptions import GoogleAPIError
            from google.auth.exceptions import GoogleAuthError
            from google.cloud.storage.exceptions import DataCorruption, InvalidResponse
            from requests import RequestException

        try:
            yield
        except GoogleAuthError as error:
            raise RequestFailed(self.url(key), what, str(error), _LOG_IN) from error
        except (GoogleAPIError, InvalidResponse, DataCorruption) as error:
            status, message = _status(error), _message(error)
            if status == _MISSING and "bucket does not exist" not in message:
                raise ObjectMissing(self.url(key)) from error
            hint = _HINTS.get(status, "") if status else _REACH
            raise RequestFailed(self.url(key), what, message, hint) from error
        except (RequestException, ConnectionError) as error:
            raise RequestFailed(self.url(key), what, str(error), _REACH) from error


def _stat_of(key: str, blob: Any) -> Stat:
    return Stat(key, int(blob.size), blob.time_created.timestamp(), str(blob.generation))


def _abort(writer: Any) -> None:
    """Abort a resumable upload; the writer's own `terminate()` does not name the upload in its request (3.17)."""
    session = getattr(writer, "_upload_and_transport", None)
    if session is not None:
        upload, transport = session
        transport.delete(upload.resumable_url, timeout=(_CONNECT_SECONDS, _READ_SECONDS))


def _status(error: BaseException | None) -> int:
    code = getattr(error, "code", None) or getattr(getattr(error, "response", None), "status_code", None)
    return int(code or 0)


def _message(error: Exception) -> str:
    """Return the service's message, which some of the client's errors have only in their response or cause."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, Exception):  # that of the last retry
        return _message(cause)
    text = getattr(getattr(error, "response", None), "text", "")
    with suppress(ValueError, LookupError, TypeError):
        text = str(json.loads(text)["error"]["message"])
    return (text or str(getattr(error, "message", "") or error))[:500]


# -- the client ------------------------------------------------------------------------------------------------------

_clients = Clients(
    *("STORAGE_EMULATOR_HOST", "API_ENDPOINT_OVERRIDE", "GOOGLE_APPLICATION_CREDENTIALS"),
    *("GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_QUOTA_PROJECT", "CLOUDSDK_CONFIG"),
)


def _blob(key: str, labels: Labels | None = None) -> Any:
    bucket, name = split(key)
    blob = _bucket(bucket).blob(name)
    if labels:
        blob.metadata = dict(labels)
    return blob


def _bucket(name: str) -> Any:
    return _client().bucket(name)


@cache
def _writer() -> type[Any]:
    from google.cloud.storage.fileio import BlobWriter

    class Writer(BlobWriter):  # type: ignore[misc]
        def __del__(self) -> None:
            """Do nothing: closing, as any other file does, would store what is half written."""

    return Writer


def _retries() -> dict[str, Any]:
    """Return the time-outs and retries of each request."""
    from google.cloud.storage.retry import DEFAULT_RETRY

    retry = DEFAULT_RETRY.with_timeout(_TRY_SECONDS).with_delay(initial=_FIRST_PAUSE, maximum=_LAST_PAUSE)
    return {"timeout": (_CONNECT_SECONDS, _READ_SECONDS), "retry": retry}


def _client() -> Any:
    """Return Google's client."""
    name = luigi.configuration.get_config().get("GCSConfig", "gcs_credential_name", "GCS_CREDENTIAL")
    return _clients.get(_make_client, name, os.environ.get(name))


def _make_client(name: str, account: str | None) -> Any:
    with require_extra(*_CLIENT):
        from google.auth.transport.requests import AuthorizedSession
        from google.cloud import storage
        from requests.adapters import HTTPAdapter
    # For traces that nobody collects, the client would request the metadata of each bucket.
    os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")
    credentials = _credentials(name, (account or "").strip())
    session = AuthorizedSession(credentials)
    session.hooks["response"].append(_read_refusal)
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=_CONNECTIONS))
    # Requests name buckets and objects only, which need no project.
    project = os.environ.get("GOOGLE_CLOUD_PROJECT") or "kart"
    emulator = os.environ.get("STORAGE_EMULATOR_HOST", "")
    options = {"api_endpoint": f"http://{emulator}"} if emulator and "://" not in emulator else None
    return storage.Client(project, credentials, _http=session, client_options=options)


def _read_refusal(response: Any, **_: Any) -> None:
    """Read a refusal to its end: the client does not, so its connection could not be used again."""
    if response.status_code >= 300:
        response.content  # noqa: B018 - reads it


def _credentials(name: str, account: str) -> Any:
    import google.auth
    from google.auth.credentials import AnonymousCredentials
    from google.oauth2.service_account import Credentials

    if os.environ.get("STORAGE_EMULATOR_HOST"):
        return AnonymousCredentials()
    if not account:
        return google.auth.default(scopes=[_SCOPE])[0]
    try:
        if account.startswith("{"):
            return Credentials.from_service_account_info(json.loads(account), scopes=[_SCOPE])
        return Credentials.from_service_account_file(account, scopes=[_SCOPE])
    except (ValueError, OSError) as error:
        reason = type(error).__name__  # and no more: the text contains secrets
        message = f"no service account can be read from it: {reason}"
        raise ConfigError(message, key=name, expected="its JSON, or the path of that") from None
