"""How are bytes kept in Google Cloud Storage? By Google's client, a request for each method.

Credentials come from where Google's libraries take them: ``GOOGLE_APPLICATION_CREDENTIALS``, the login of ``gcloud``,
the machine's service account; ``STORAGE_EMULATOR_HOST`` names another service, which is asked without any. As in
gokart, an environment variable may hold a service account's JSON or the path of it; it is named by
``gcs_credential_name`` in the section ``[GCSConfig]`` of luigi's configuration, by default ``GCS_CREDENTIAL``.
"""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any

import luigi

from kart_runtime.errors import ConfigError, ObjectMissing, RequestFailed, require_extra
from kart_runtime.storage.stores import Stat, Versioned, multipart
from kart_runtime.storage.stores.clients import Clients
from kart_runtime.storage.stores.object_cache import NOT_TOLD, ObjectReplaced
from kart_runtime.storage.stores.objects import Labels, ObjectStore, Page, Piece, split

_CLIENT = ("a workspace in GCS needs its client", "gcs")

_CONNECT_SECONDS, _READ_SECONDS = 10, 60
_TRY_SECONDS = 30.0
"""For how long a request is sent again that was not answered, or was told to come back later."""

_FIRST_PAUSE, _LAST_PAUSE = 0.3, 8.0
"""Seconds between two tries."""

_CONNECTIONS = 64
_SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
_STORING = {"content_type": "application/octet-stream", "checksum": "crc32c"}

_LOG_IN = "See which credentials are used: GOOGLE_APPLICATION_CREDENTIALS, gcloud auth application-default login."
_REACH = "See whether the service can be reached from here, and whether STORAGE_EMULATOR_HOST is right if it is set."
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
        """Seconds by which the service's clock is ahead of ours, as far as it has told."""

    def place(self) -> str:
        """Return the address of the service."""
        with self._asking("", "find the service"):
            return str(_client().api_endpoint)

    def _stat(self, key: str) -> Stat | None:
        bucket, name = split(key)
        with self._asking(key, "look for"):
            found = _bucket(bucket).get_blob(name, **_patience())
        return None if found is None else Stat(key, int(found.size), found.time_created.timestamp())

    def get(self, key: str, start: int, length: int, unless: str = "", only: str = "") -> Piece | None:
        """Return a piece of an object, None when its generation is the one given as `unless`."""
        with self._asking(key, "read"):
            blob = _blob(key)
        conditions: dict[str, Any] = {"if_generation_not_match": int(unless)} if unless else {}
        if only:
            conditions["if_generation_match"] = int(only)
        try:
            data = self._downloaded(key, blob, start, start + length - 1, conditions)
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
            return Piece(data, only, NOT_TOLD)
        told = blob.generation
        if told is None or len(data) == length:
            with self._asking(key, "read"):  # a part does not tell how large the whole is
                blob.reload(**_patience())
        if told is not None and int(told) != int(blob.generation):
            raise ObjectReplaced(self.url(key))
        return Piece(data, str(blob.generation), len(data) if blob.size is None else int(blob.size))

    def _downloaded(self, key: str, blob: Any, start: int, end: int, conditions: dict[str, Any]) -> bytes:
        with self._asking(key, "read"):
            # As it is stored: else the service unpacks what was stored as gzip, and its size is another one.
            data: bytes = blob.download_as_bytes(start=start, end=end, raw_download=True, **conditions, **_patience())
        return data

    def read(self, key: str) -> Versioned | None:
        """Return a small object with its generation, None when there is none."""
        piece = None
        with suppress(ObjectMissing):
            piece = self.get(key, 0, multipart.PART)
        if piece is None:
            return None
        found = self._stat(key)
        if found is None:
            return None
        return Versioned(piece.data, piece.version, max(time.time() + self._ahead - found.modified, 0.0))

    def put(self, key: str, data: bytes | bytearray, labels: Labels | None = None) -> None:
        """Store an object, with its labels, by one request."""
        self._put(key, data, labels)

    def _put(self, key: str, data: bytes | bytearray, labels: Labels | None = None, **conditions: int) -> str:
        with self._asking(key, "write"):
            blob = _blob(key, labels)
            blob.upload_from_file(io.BytesIO(data), size=len(data), **_STORING, **conditions, **_patience())
        return str(blob.generation)

    def begin(self, key: str, labels: Labels | None = None) -> _Resumable:
        """Begin a resumable upload."""
        with self._asking(key, "write"):
            writer = _writer()(_blob(key, labels), chunk_size=multipart.PART, **_STORING, **_patience())
        return _Resumable(self, key, writer)

    def page(self, prefix: str, token: str | None = None, *, below: bool = False, after: str = "") -> Page:
        """Return at most 1,000 objects whose keys begin with a prefix."""
        bucket, folder = split(prefix)
        with self._asking(prefix, "list"):
            listed = _client().list_blobs(
                bucket,
                prefix=folder,
                delimiter=None if below else "/",
                page_size=1000,
                page_token=token,
                start_offset=split(after)[1] or None,
                fields="items(name,size,timeCreated),prefixes,nextPageToken",
                **_patience(),
            )
            objects = [
                Stat(f"{bucket}/{blob.name}", int(blob.size), blob.time_created.timestamp())
                for blob in next(listed.pages, ())
            ]
        folders = [f"{bucket}/{name}" for name in sorted(listed.prefixes)]
        last = max([*folders[-1:], *(one.key for one in objects[-1:])], default="")
        return Page(objects, last, listed.next_page_token or None)

    def delete(self, key: str) -> bool:
        """Remove an object, by one request; return whether there was one."""
        return self._removed(key)

    def _delete(self, key: str) -> None:
        self._removed(key)

    def _removed(self, key: str, **conditions: int) -> bool:
        try:
            with self._asking(key, "delete"):
                _blob(key).delete(**conditions, **_patience())
        except ObjectMissing:
            return False
        return True

    def create(self, key: str, data: bytes) -> str | None:
        """Store an object that is not there yet and return its generation; None when it is there."""
        return self.replace(key, data, "0")

    def replace(self, key: str, data: bytes, version: str) -> str | None:
        """Replace an object that still has a generation and return the new one; None when it has not."""
        try:
            return self._put(key, data, if_generation_match=int(version))
        except RequestFailed as error:
            if _status(error.__cause__) != _CHANGED:
                raise
            self._compare_clocks(error.__cause__)
            return None

    def delete_version(self, key: str, version: str) -> bool:
        """Remove an object that still has a generation; return whether it was removed."""
        try:
            return self._removed(key, if_generation_match=int(version))
        except RequestFailed as error:
            if _status(error.__cause__) != _CHANGED:
                raise
            return False

    def _compare_clocks(self, error: Any) -> None:
        """Learn from a refusal what time the service has, since successes do not tell."""
        told = getattr(getattr(error, "response", None), "headers", {}).get("Date")
        if told:
            # It is cut to seconds, so that half of one is missing on average.
            self._ahead = parsedate_to_datetime(told).timestamp() + 0.5 - time.time()

    @contextmanager
    def _asking(self, key: str, what: str) -> Iterator[None]:
        """Turn what Google's libraries raise into errors that name the object."""
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
            status, said = _status(error), _said(error)
            if status == _MISSING and "bucket does not exist" not in said:
                raise ObjectMissing(self.url(key)) from error
            hint = _HINTS.get(status, "") if status else _REACH
            raise RequestFailed(self.url(key), what, said, hint) from error
        except (RequestException, ConnectionError) as error:
            raise RequestFailed(self.url(key), what, str(error), _REACH) from error


class _Resumable:
    """A resumable upload: a session that takes one part after the other."""

    at_once = 1

    def __init__(self, store: GCSStore, key: str, writer: Any) -> None:
        self._store, self._key, self._writer = store, key, writer

    def send(self, number: int, data: bytearray, last: bool) -> None:  # noqa: ARG002 - they come in order
        with self._store._asking(self._key, "write"):
            self._writer.write(data)

    def finish(self) -> None:
        from google.cloud.storage.exceptions import DataCorruption

        try:
            with self._store._asking(self._key, "write"):
                self._writer.close()
        except RequestFailed as error:
            if isinstance(error.__cause__, DataCorruption):  # other bytes arrived than were sent, and are there
                self._store._delete(self._key)
            raise

    def abort(self) -> None:
        # The writer's own terminate() asks for the end of an upload without saying of which (3.17).
        begun = getattr(self._writer, "_upload_and_transport", None)
        if begun is not None:
            upload, transport = begun
            with self._store._asking(self._key, "give up writing"):
                transport.delete(upload.resumable_url, timeout=(_CONNECT_SECONDS, _READ_SECONDS))


def _status(error: BaseException | None) -> int:
    code = getattr(error, "code", None) or getattr(getattr(error, "response", None), "status_code", None)
    return int(code or 0)


def _said(error: Exception) -> str:
    """Return what the service says, which some of the client's errors only have in their response or their cause."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, Exception):  # of the last try
        return _said(cause)
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
            """Do nothing: any other file is closed now, which would make an object of what is half written."""

    return Writer


def _patience() -> dict[str, Any]:
    """Return how long is waited for an answer, and for how long a request is sent again."""
    from google.cloud.storage.retry import DEFAULT_RETRY

    retry = DEFAULT_RETRY.with_timeout(_TRY_SECONDS).with_delay(initial=_FIRST_PAUSE, maximum=_LAST_PAUSE)
    return {"timeout": (_CONNECT_SECONDS, _READ_SECONDS), "retry": retry}


def _client() -> Any:
    """Return Google's client."""
    name = luigi.configuration.get_config().get("GCSConfig", "gcs_credential_name", "GCS_CREDENTIAL")
    return _clients.get(_made, name, os.environ.get(name))


def _made(name: str, account: str | None) -> Any:
    with require_extra(*_CLIENT):
        from google.auth.transport.requests import AuthorizedSession
        from google.cloud import storage
        from requests.adapters import HTTPAdapter
    # For traces that nobody collects, the client would ask for what is known of each bucket.
    os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")
    credentials = _credentials(name, (account or "").strip())
    session = AuthorizedSession(credentials)
    session.hooks["response"].append(_read_refusal)
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=_CONNECTIONS))
    # Only buckets and objects are asked for, which belong to no project.
    project = os.environ.get("GOOGLE_CLOUD_PROJECT") or "kart"
    other = os.environ.get("STORAGE_EMULATOR_HOST", "")
    options = {"api_endpoint": f"http://{other}"} if other and "://" not in other else None
    return storage.Client(project, credentials, _http=session, client_options=options)


def _read_refusal(answer: Any, **_: Any) -> None:
    """Read a refusal to its end: the client leaves it, and with it a connection that nobody can use again."""
    if answer.status_code >= 300:
        answer.content  # noqa: B018 - reads it


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
        told = type(error).__name__  # and no more: the text, or a part of it, is a secret
        raise ConfigError(
            f"no service account can be read from it: {told}", key=name, expected="its JSON, or the path of that"
        ) from None
