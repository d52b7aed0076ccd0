"""Store for Google Cloud Storage, by Google's client.

Google's libraries find the credentials: ``GOOGLE_APPLICATION_CREDENTIALS``, the login of ``gcloud``, the machine's
service account; ``STORAGE_EMULATOR_HOST`` names another service, which needs none. As in gokart, an environment
variable may hold a service account's JSON or the path of it; ``gcs_credential_name`` in the section ``[GCSConfig]`` of
luigi's configuration names it (default: ``GCS_CREDENTIAL``).
"""

from __future__ import annotations

import io
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.utils import parsedate_to_datetime
from typing import Any, BinaryIO

from kart_runtime.errors import ObjectMissing, RequestFailed, require_extra
from kart_runtime.storage.stores import Stat, Versioned, upload
from kart_runtime.storage.stores.gcs_client import (
    NEEDED,
    SERVICE,
    abort,
    client,
    requests_sent,
    retries,
    token_address,
    writer,
)
from kart_runtime.storage.stores.gcs_refusals import (
    LOG_IN,
    NOT_GCS,
    REACH,
    hint_for,
    is_about_token,
    message_of,
    status_of,
    token_hint,
)
from kart_runtime.storage.stores.object_cache import UNKNOWN_SIZE, ObjectReplaced
from kart_runtime.storage.stores.objects import Chunk, Labels, ObjectStore, Page, split
from kart_runtime.storage.stores.threads import without_waiting
from kart_runtime.storage.time_limits import note_answer, note_silence

_UPLOAD = {"content_type": "application/octet-stream", "checksum": "crc32c"}
_ABORT_SECONDS, _ABORT_SECONDS_INTERRUPTED = 10.0, 1.0
"""Seconds to wait until the service has dropped an upload; it does so by itself after a week."""

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
            return str(client().api_endpoint)

    def _stat(self, key: str) -> Stat | None:
        bucket, name = split(key)
        with self._request(key, "look for"):
            blob = _bucket(bucket).get_blob(name, **retries())
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
            status = status_of(error.__cause__)
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
        with self._request(key, "read"):
            if generation is None or len(data) == length:
                blob.reload(**retries())  # an answer with a part does not contain the size of the whole
            version, size = str(blob.generation), len(data) if blob.size is None else int(blob.size)
        if generation is not None and int(generation) != int(version):
            raise ObjectReplaced(self.url(key))
        return Chunk(data, version, size)

    def _download(self, key: str, blob: Any, start: int, end: int, conditions: dict[str, Any]) -> bytes:
        with self._request(key, "read"):
            # Raw: otherwise the service decompresses what was stored as gzip, and the size differs.
            data: bytes = blob.download_as_bytes(start=start, end=end, raw_download=True, **conditions, **retries())
        return data

    def mark_of(self, key: str) -> str:
        """Return the checksum that an object was marked with, "" if it has no mark."""
        bucket, name = split(key)
        with self._request(key, "look for"):
            blob = _bucket(bucket).get_blob(name, **retries())
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
            blob.upload_from_file(io.BytesIO(data), size=len(data), **_UPLOAD, **conditions, **retries())
            return str(blob.generation)

    def upload(self, key: str, file: BinaryIO, labels: Labels | None = None) -> str:
        """Store a large object from a file by a resumable upload, one part after the other; return its generation."""
        from google.cloud.storage.exceptions import DataCorruption

        with self._request(key, "write"):
            sink = writer()(_blob(key, labels), chunk_size=upload.PART, **_UPLOAD, **retries())
            try:
                shutil.copyfileobj(file, sink, upload.PART)
                sink.close()
            except DataCorruption:  # other bytes arrived than were sent, and are visible
                self._delete(key)
                raise
            except Exception:
                without_waiting(lambda: abort(sink), _ABORT_SECONDS)
                raise
            except BaseException:
                without_waiting(lambda: abort(sink), _ABORT_SECONDS_INTERRUPTED)
                raise
        return self._version(key)  # the writer does not return the generation

    def copy(self, source: str, key: str) -> str:
        """Copy an object inside the service, a large one by several requests; return its generation."""
        token: str | None = None
        with self._request(source, "copy"):
            original, blob = _blob(source), _blob(key)
            while True:
                token, _, _ = blob.rewrite(original, token=token, **retries())
                if token is None:
                    return str(blob.generation or "")

    def page(self, prefix: str, token: str | None = None, *, below: bool = False, after: str = "") -> Page:
        """Return at most 1,000 objects whose keys begin with a prefix."""
        bucket, folder = split(prefix)
        with self._request(prefix, "list"):
            blobs = client().list_blobs(
                bucket,
                prefix=folder,
                delimiter=None if below else "/",
                page_size=1000,
                page_token=token,
                start_offset=split(after)[1] or None,
                fields="items(name,size,timeCreated,generation),prefixes,nextPageToken",
                **retries(),
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
        before = requests_sent()
        try:
            with self._request(key, "delete"):
                _blob(key).delete(**conditions, **retries())
        except ObjectMissing:
            return requests_sent() > before + 1  # the answer was lost that said so
        return True

    def create(self, key: str, data: bytes) -> str | None:
        """Store an object unless it exists, and return its generation; None if it exists."""
        return self.replace(key, data, "0")

    def replace(self, key: str, data: bytes, version: str) -> str | None:
        """Replace an object that still has a generation, and return the new one; None if it has another."""
        before = requests_sent()
        try:
            return self._put(key, data, if_generation_match=int(version))
        except RequestFailed as error:
            if status_of(error.__cause__) != _CHANGED:
                raise
            self._compare_clocks(error.__cause__)
            return self._own_version(key, data) if requests_sent() > before + 1 else None

    def delete_version(self, key: str, version: str) -> bool:
        """Delete an object that still has a generation; return whether it was deleted."""
        try:
            return self._try_delete(key, if_generation_match=int(version))
        except RequestFailed as error:
            if status_of(error.__cause__) != _CHANGED:
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
        with require_extra(*NEEDED):
            from google.api_core.exceptions import GoogleAPIError
            from google.auth.exceptions import GoogleAuthError
            from google.cloud.storage.exceptions import DataCorruption, InvalidResponse
            from requests import JSONDecodeError, RequestException

        try:
            yield
            if key:  # else nobody was asked
                note_answer(SERVICE)
        except GoogleAuthError as error:
            hint = token_hint(token_address()) if is_about_token(error) else LOG_IN
            raise RequestFailed(self.url(key), what, str(error), hint) from error
        except (GoogleAPIError, InvalidResponse, DataCorruption) as error:
            status, message = status_of(error), message_of(error)
            (note_answer if status else note_silence)(SERVICE)
            if status == _MISSING and "bucket does not exist" not in message:
                raise ObjectMissing(self.url(key)) from error
            hint = token_hint(token_address()) if is_about_token(error) else hint_for(error, what, self.url(key))
            raise RequestFailed(self.url(key), what, message, hint) from error
        except JSONDecodeError as error:  # which is a RequestException, too
            raise self._unreadable(key, what, error) from error
        except (RequestException, ConnectionError) as error:
            note_silence(SERVICE)
            hint = token_hint(token_address()) if is_about_token(error) else REACH
            raise RequestFailed(self.url(key), what, str(error), hint) from error
        except (ValueError, TypeError, AttributeError, LookupError) as error:
            raise self._unreadable(key, what, error) from error

    def _unreadable(self, key: str, what: str, error: Exception) -> RequestFailed:
        """Return the error for an answer that was damaged on its way, or is not that of the service."""
        found = f"the answer cannot be read: {error}"
        if is_about_token(error):
            return RequestFailed(self.url(key), what, found, token_hint(token_address()))
        return RequestFailed(self.url(key), what, f"{found} (from {client().api_endpoint})", NOT_GCS)


def _stat_of(key: str, blob: Any) -> Stat:
    return Stat(key, int(blob.size), blob.time_created.timestamp(), str(blob.generation))


def _blob(key: str, labels: Labels | None = None) -> Any:
    bucket, name = split(key)
    blob = _bucket(bucket).blob(name)
    if labels:
        blob.metadata = dict(labels)
    return blob


def _bucket(name: str) -> Any:
    return client().bucket(name)
