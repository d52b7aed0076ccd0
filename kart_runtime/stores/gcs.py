"""How are bytes kept in Google Cloud Storage? By its JSON API, a request for each method.

Credentials come from where Google's libraries take them: ``GOOGLE_APPLICATION_CREDENTIALS``, the login of ``gcloud``,
the machine's service account; ``STORAGE_EMULATOR_HOST`` names another service, which is asked without any. As in
gokart, an environment variable may hold a service account's JSON or the path of it; it is named by
``gcs_credential_name`` in the section ``[GCSConfig]`` of luigi's configuration, by default ``GCS_CREDENTIAL``.
"""

from __future__ import annotations

import json
import time
import uuid
from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

from kart_runtime.errors import ObjectMissing, RequestFailed
from kart_runtime.stores import Stat, Versioned
from kart_runtime.stores.downloads import ObjectReplaced
from kart_runtime.stores.gcs_service import LOG_IN, PAUSES, Answer, NoAnswer, Request, service
from kart_runtime.stores.objects import Labels, ObjectStore, Page, Piece, split

_BYTES = "application/octet-stream"
_JSON = "application/json; charset=UTF-8"
_NOT_TOLD = -1.0

_NOT_MODIFIED, _GO_ON, _MISSING, _CHANGED, _TOO_FAR = 304, 308, 404, 412, 416
_GIVEN_UP = (404, 410, 499)
"""What an upload answers that is given up: it is not known, was over, is over now."""

_HINTS = {
    401: LOG_IN,
    403: "Allow these credentials to list, read, write and delete objects there.",
    404: "Create the bucket, or correct the workspace's url.",
}


class GCSStore(ObjectStore):
    """Objects in Google Cloud Storage, under urls like ``gs://bucket/folder/x.pkl``."""

    scheme = "gs"
    keeps_labels = True

    def place(self) -> str:
        """Return the address of the service."""
        try:
            return service().address
        except NoAnswer as error:
            raise RequestFailed("gs://", "find the service", str(error), error.hint) from error

    def _stat(self, key: str) -> Stat | None:
        request = Request("GET", _path(key), {"fields": "size,timeCreated"})
        answer = self._answer(key, "look for", request, _MISSING)
        if answer.status == _MISSING:
            return None
        found = answer.told()
        return Stat(key, int(found["size"]), _moment(found["timeCreated"]))

    def get(self, key: str, start: int, length: int, unless: str = "", only: str = "") -> Piece | None:
        """Return a piece of an object, None when its generation is the one given as `unless`."""
        asked = {"alt": "media", "ifGenerationNotMatch": unless, "ifGenerationMatch": only}
        request = Request("GET", f"/download{_path(key)}", asked, {"Range": f"bytes={start}-{start + length - 1}"})
        accepted = (_MISSING, _NOT_MODIFIED, _CHANGED, _TOO_FAR)
        answer = self._answer(key, "read", request, *accepted)
        if answer.status == _TOO_FAR and not start:  # an empty object has no first byte
            answer = self._answer(key, "read", request._replace(headers={}), *accepted)
        if answer.status == _MISSING:
            raise ObjectMissing(self.url(key))
        if answer.status in {_CHANGED, _TOO_FAR}:
            raise ObjectReplaced(self.url(key))
        return None if answer.status == _NOT_MODIFIED else _piece(answer)

    def read(self, key: str) -> Versioned | None:
        """Return a small object with its generation, None when there is none."""
        found = super().read(key)
        if found is None or (found.version and found.age != _NOT_TOLD):
            return found
        # An emulator, which does not tell these beside the bytes, as the service does.
        request = Request("GET", _path(key), {"fields": "generation,timeCreated"})
        answer = self._answer(key, "read", request, _MISSING)
        if answer.status == _MISSING:
            return None
        told = answer.told()
        return Versioned(found.data, told["generation"], _age(answer, _moment(told["timeCreated"])))

    def put(self, key: str, data: bytes | bytearray, labels: Labels | None = None) -> None:
        """Store an object, with its labels, by one request."""
        self._upload(key, data, labels)

    def begin(self, key: str, labels: Labels | None = None) -> _Resumable:
        """Begin a resumable upload."""
        path, name = _uploads(key)
        asked = {"uploadType": "resumable", "name": name, "fields": "crc32c"}
        headers = {"Content-Type": _JSON, "X-Upload-Content-Type": _BYTES}
        request = Request("POST", path, asked, headers, json.dumps(_described(labels)).encode())
        return _Resumable(self, key, self._answer(key, "write", request).headers["Location"])

    def page(self, prefix: str, token: str | None = None, *, below: bool = False) -> Page:
        """Return at most 1,000 objects whose keys begin with a prefix."""
        bucket, folder = split(prefix)
        asked = {
            "prefix": folder,
            "delimiter": "" if below else "/",
            "maxResults": "1000",
            "pageToken": token or "",
            "fields": "items(name,size,timeCreated),prefixes,nextPageToken",
        }
        found = self._answer(prefix, "list", Request("GET", _objects(bucket), asked)).told()
        objects = [
            Stat(f"{bucket}/{one['name']}", int(one["size"]), _moment(one["timeCreated"]))
            for one in found.get("items", ())
        ]
        folders = [f"{bucket}/{name}" for name in found.get("prefixes", ())]
        last = max([*folders[-1:], *(one.key for one in objects[-1:])], default="")
        return Page(objects, last, found.get("nextPageToken") or None)

    def delete(self, key: str) -> bool:
        """Remove an object, by one request; return whether there was one."""
        return self._answer(key, "delete", Request("DELETE", _path(key)), _MISSING).status != _MISSING

    def _delete(self, key: str) -> None:
        self.delete(key)

    def create(self, key: str, data: bytes) -> str | None:
        """Store an object that is not there yet and return its generation; None when it is there."""
        return self._upload(key, data, only="0")

    def replace(self, key: str, data: bytes, version: str) -> str | None:
        """Replace an object that still has a generation and return the new one; None when it has not."""
        return self._upload(key, data, only=version)

    def delete_version(self, key: str, version: str) -> bool:
        """Remove an object that still has a generation; return whether it was removed."""
        request = Request("DELETE", _path(key), {"ifGenerationMatch": version})
        return self._answer(key, "delete", request, _MISSING, _CHANGED).status not in {_MISSING, _CHANGED}

    def _upload(self, key: str, data: bytes | bytearray, labels: Labels | None = None, only: str = "") -> str | None:
        """Store an object and return its generation; None when the one that is there is not the one given as `only`."""
        path, name = _uploads(key)
        boundary = uuid.uuid4().hex  # too long to occur in the data
        described = json.dumps({**_described(labels), "crc32c": _text(_checksum(data))})
        begin = f"--{boundary}\r\nContent-Type:"
        head = f"{begin} {_JSON}\r\n\r\n{described}\r\n{begin} {_BYTES}\r\n\r\n"
        request = Request(
            "POST",
            path,
            {"uploadType": "multipart", "name": name, "ifGenerationMatch": only, "fields": "generation"},
            {"Content-Type": f"multipart/related; boundary={boundary}"},
            b"".join((head.encode(), data, f"\r\n--{boundary}--".encode())),
        )
        answer = self._answer(key, "write", request, *((_CHANGED,) if only else ()))
        return None if answer.status == _CHANGED else str(answer.told().get("generation", ""))

    def _answer(self, key: str, what: str, request: Request, *accepted: int, tries: int = 1 + len(PAUSES)) -> Answer:
        """Return an answer that is a success or accepted; another one is an error that names the object."""
        try:
            answer = service().answer(request, tries)
        except NoAnswer as error:
            raise RequestFailed(self.url(key), what, str(error), error.hint) from error
        if answer.status < 300:
            return answer
        said = answer.said()
        if answer.status in accepted and not (answer.status == _MISSING and "bucket does not exist" in said):
            return answer
        raise RequestFailed(self.url(key), what, f"{answer.status} {said}".rstrip(), _HINTS.get(answer.status, ""))


class _Resumable:
    """A resumable upload: a session that takes one part after the other, and tells how much of them has arrived."""

    at_once = 1

    def __init__(self, store: GCSStore, key: str, session: str) -> None:
        self._store, self._key, self._session = store, key, session
        self._began = self._arrived = 0
        self._checksum = _checksum(b"")

    def send(self, number: int, data: bytearray, last: bool) -> None:  # noqa: ARG002 - they come in order
        self._checksum.update(bytes(data))
        end = self._began + len(data)
        answer, pauses = None, iter(PAUSES)
        while self._arrived < end:  # what arrives may be less than what was sent
            before = self._arrived
            answer = self._sent(bytes(data[before - self._began :]), end, str(end) if last else "*")
            self._arrived = _arrived(answer) if answer.status == _GO_ON else end
            if self._arrived > before:
                pauses = iter(PAUSES)
                continue
            pause = next(pauses, None)
            if pause is None or self._arrived < before:
                raise RequestFailed(self._store.url(self._key), "write", "the service takes no more of it")
            time.sleep(pause)
        self._began = end
        if last and answer is not None:
            self._check(answer)

    def _sent(self, rest: bytes, end: int, size: str) -> Answer:
        """Send bytes, once; where that goes wrong, ask how many have arrived."""
        headers = {"Content-Type": _BYTES, "Content-Range": f"bytes {self._arrived}-{end - 1}/{size}"}
        if size != "*":
            headers["X-Goog-Hash"] = f"crc32c={_text(self._checksum)}"
        with suppress(RequestFailed):  # if it is to stay, the question meets it, too
            return self._put(rest, headers, tries=1)
        return self._put(b"", {"Content-Range": f"bytes */{size}"})

    def _put(self, data: bytes, headers: Mapping[str, str], tries: int = 1 + len(PAUSES)) -> Answer:
        request = Request("PUT", self._session, {}, headers, data)
        return self._store._answer(self._key, "write", request, _GO_ON, tries=tries)

    def _check(self, answer: Answer) -> None:
        if answer.told().get("crc32c") not in {None, _text(self._checksum)}:
            self._store._delete(self._key)
            raise RequestFailed(self._store.url(self._key), "write", "other bytes arrived than were sent", "Try again.")

    def finish(self) -> None:
        """Do nothing: the last part has made the object."""

    def abort(self) -> None:
        self._store._answer(self._key, "give up writing", Request("DELETE", self._session), *_GIVEN_UP)


# -- what requests and answers consist of ----------------------------------------------------------------------------


def _objects(bucket: str) -> str:
    return f"/storage/v1/b/{quote(bucket, safe='')}/o"


def _path(key: str) -> str:
    bucket, name = split(key)
    return f"{_objects(bucket)}/{quote(name, safe='')}"


def _uploads(key: str) -> tuple[str, str]:
    bucket, name = split(key)
    return f"/upload{_objects(bucket)}", name


def _described(labels: Labels | None) -> dict[str, Any]:
    return {"contentType": _BYTES, "metadata": dict(labels)} if labels else {"contentType": _BYTES}


def _checksum(data: bytes | bytearray) -> Any:
    import google_crc32c

    return google_crc32c.Checksum(bytes(data))


def _text(checksum: Any) -> str:
    return b64encode(checksum.digest()).decode()


def _piece(answer: Answer) -> Piece:
    whole = answer.headers.get("Content-Range", "").rpartition("/")[2]
    written = answer.headers.get("Last-Modified")
    return Piece(
        answer.body,
        answer.headers.get("X-Goog-Generation", ""),
        int(whole) if whole.isdigit() else len(answer.body),
        _age(answer, parsedate_to_datetime(written).timestamp()) if written else _NOT_TOLD,
    )


def _age(answer: Answer, written: float) -> float:
    told = answer.headers.get("Date")
    now = parsedate_to_datetime(told) if told else datetime.now(UTC)
    return max(now.timestamp() - written, 0.0)


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _arrived(answer: Answer) -> int:
    last = answer.headers.get("Range", "").rpartition("-")[2]
    return int(last) + 1 if last else 0
