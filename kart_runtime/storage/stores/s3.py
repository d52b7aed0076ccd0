"""How are bytes kept in S3, or a service that speaks its language? By boto3's client, a request for each method.

Endpoint, region and credentials come from where boto3 takes them: ``AWS_ENDPOINT_URL``, ``AWS_PROFILE``,
``~/.aws/config``, the machine's role. The environment variables of the two keys may have other names, given as in
gokart in the section ``[S3Config]`` of luigi's configuration.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import luigi

from kart_runtime.errors import ConfigError, ObjectMissing, RequestFailed, require_extra
from kart_runtime.storage.stores import Stat, UnfinishedUpload
from kart_runtime.storage.stores.clients import Clients
from kart_runtime.storage.stores.object_cache import ObjectReplaced
from kart_runtime.storage.stores.objects import Labels, ObjectStore, Page, Piece, split
from kart_runtime.storage.workspace import as_folder

_CLIENT = ("a workspace in S3 needs its client", "s3")

_CONNECT_SECONDS = 10
_CONNECTIONS = 64

_MISSING = frozenset({"NoSuchKey", "404", "NotFound"})
_CHANGED = frozenset({"PreconditionFailed", "412", "ConditionalRequestConflict", "409"})
_TOO_FAR = frozenset({"InvalidRange", "416"})
_NOT_KNOWN = frozenset({"NotImplemented", "501", "ParamValidationError"})
"""What is said of a condition that the service, or an older boto3, does not know."""

_READS = 3
"""How often bytes are asked for whose connection ends before all of them are here; boto3 leaves that to us."""

_REACH = "See whether AWS_ENDPOINT_URL is right and the service runs."
_HINTS = {
    "NoSuchBucket": "Create the bucket, or correct the workspace's url.",
    "AccessDenied": "Allow these credentials to list, read, write and delete there.",
    "403": "Allow these credentials to list, read, write and delete there.",
    "InvalidAccessKeyId": "See which credentials are used: AWS_PROFILE, AWS_ACCESS_KEY_ID, ~/.aws.",
    "SignatureDoesNotMatch": "See which credentials are used: AWS_PROFILE, AWS_ACCESS_KEY_ID, ~/.aws.",
    "ExpiredToken": "Get new credentials.",
    "NoCredentialsError": "Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
    "NoRegionError": "Set AWS_DEFAULT_REGION.",
    "EndpointConnectionError": _REACH,
    "ConnectTimeoutError": _REACH,
    "ConnectionClosedError": _REACH,
    "ReadTimeoutError": _REACH,
}


class S3Store(ObjectStore):
    """Objects in S3, under urls like ``s3://bucket/folder/x.pkl``."""

    scheme = "s3"

    def place(self) -> str:
        """Return the address of the service."""
        with self._asking("", "find the service"):
            return str(_client().meta.endpoint_url)

    def _stat(self, key: str) -> Stat | None:
        bucket, name = split(key)
        try:
            with self._asking(key, "look for"):
                found = _client().head_object(Bucket=bucket, Key=name)
        except ObjectMissing:
            return None
        return Stat(key, found["ContentLength"], found["LastModified"].timestamp())

    def get(self, key: str, start: int, length: int, unless: str = "", only: str = "") -> Piece | None:
        """Return a piece of an object, None when its version is the one given as `unless`."""
        bucket, name = split(key)
        how = {"Bucket": bucket, "Key": name}
        how |= {"IfNoneMatch": unless} if unless else {"IfMatch": only} if only else {}
        try:
            return self._read(key, {**how, "Range": f"bytes={start}-{start + length - 1}"})
        except RequestFailed as error:
            code = _code(error.__cause__)
            if code in {"304", "NotModified"}:
                return None
            if code in _CHANGED or (code in _TOO_FAR and start):
                raise ObjectReplaced(self.url(key)) from error
            if code not in _TOO_FAR:
                raise
        return self._read(key, how)  # an empty object has no first byte

    def _read(self, key: str, how: dict[str, str]) -> Piece:
        with self._asking(key, "read"):
            from botocore.exceptions import HTTPClientError, IncompleteReadError

            for _ in range(_READS - 1):
                found = _client().get_object(**how)
                with suppress(HTTPClientError, IncompleteReadError):
                    return _piece(found, found["Body"].read())
            found = _client().get_object(**how)
            return _piece(found, found["Body"].read())

    def put(self, key: str, data: bytes | bytearray, labels: Labels | None = None) -> None:  # noqa: ARG002
        """Store an object by one request."""
        bucket, name = split(key)
        with self._asking(key, "write"):
            _client().put_object(Bucket=bucket, Key=name, Body=bytes(data))

    def begin(self, key: str, labels: Labels | None = None) -> _Multipart:  # noqa: ARG002
        """Begin a multipart upload."""
        bucket, name = split(key)
        with self._asking(key, "write"):
            begun = _client().create_multipart_upload(Bucket=bucket, Key=name)
        return _Multipart(self, key, begun["UploadId"])

    def page(self, prefix: str, token: str | None = None, *, below: bool = False, after: str = "") -> Page:
        """Return at most 1,000 objects whose keys begin with a prefix."""
        bucket, folder = split(prefix)
        how: dict[str, str] = {} if below else {"Delimiter": "/"}
        if token:
            how["ContinuationToken"] = token
        elif after:
            how["StartAfter"] = split(after)[1]
        with self._asking(prefix, "list"):
            found = _client().list_objects_v2(Bucket=bucket, Prefix=folder, **how)
        objects = [
            Stat(f"{bucket}/{one['Key']}", one["Size"], one["LastModified"].timestamp())
            for one in found.get("Contents", ())
        ]
        folders = [f"{bucket}/{one['Prefix']}" for one in found.get("CommonPrefixes", ())]
        last = max([*folders[-1:], *(one.key for one in objects[-1:])], default="")
        return Page(objects, last, found.get("NextContinuationToken") if found.get("IsTruncated") else None)

    def _delete(self, key: str, **condition: str) -> None:
        bucket, name = split(key)
        with self._asking(key, "delete"):
            _client().delete_object(Bucket=bucket, Key=name, **condition)

    def delete_many(self, keys: Sequence[str]) -> dict[str, str]:
        """Remove objects, a request for each 1,000; return what is in the way of those that could not be removed."""
        failed: dict[str, str] = {}
        by_bucket: dict[str, list[str]] = {}
        for key in keys:
            bucket, name = split(key)
            by_bucket.setdefault(bucket, []).append(name)
        for bucket, names in by_bucket.items():
            for start in range(0, len(names), 1000):
                some = [{"Key": name} for name in names[start : start + 1000]]
                with self._asking(f"{bucket}/", "delete objects of"):
                    answer = _client().delete_objects(Bucket=bucket, Delete={"Objects": some, "Quiet": True})
                for error in answer.get("Errors", ()):
                    failed[f"{bucket}/{error['Key']}"] = f"{error.get('Code')}: {error.get('Message')}"
        return failed

    def create(self, key: str, data: bytes) -> str | None:
        """Store an object that is not there yet and return its etag; None when it is there."""
        return self._put_if(key, data, IfNoneMatch="*")

    def replace(self, key: str, data: bytes, version: str) -> str | None:
        """Replace an object that still has an etag and return the new one; None when it has not.

        The etag comes from the content, so that an object which was replaced and then written as it was before counts
        as unchanged: write another content each time, as locks do.
        """
        try:
            return self._put_if(key, data, IfMatch=version)
        except ObjectMissing:
            return None

    def delete_version(self, key: str, version: str) -> bool:
        """Remove an object that still has an etag; return whether it was removed.

        A service that refuses conditions here is asked in two steps. One that passes over them removes the object in
        any case, so callers make sure of it by the time.
        """
        try:
            self._delete(key, IfMatch=version)
        except ObjectMissing:
            return False
        except RequestFailed as error:
            code = _code(error.__cause__)
            if code in _CHANGED:
                return False
            if code not in _NOT_KNOWN:
                raise
            found = self.read(key)
            if found is None or found.version != version:
                return False
            self._delete(key)
        return True

    def unfinished(self, prefix: str, before: float) -> list[UnfinishedUpload]:
        """Return the uploads below a folder that have not ended and began before a time, in seconds of the epoch."""
        bucket, folder = split(as_folder(prefix))
        with self._asking(prefix, "look for uploads in"):
            pages = _client().get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=folder)
            return [
                UnfinishedUpload(f"{bucket}/{one['Key']}", one["UploadId"])
                for page in pages
                for one in page.get("Uploads", ())
                if one["Initiated"].timestamp() < before
            ]

    def discard(self, upload: UnfinishedUpload) -> bool:
        """Throw away the parts of an upload; return whether there was something to throw away."""
        try:
            _Multipart(self, *upload).abort()
        except RequestFailed as error:
            if _code(error.__cause__) != "NoSuchUpload":  # it has just ended
                raise
            return False
        return True

    def _put_if(self, key: str, data: bytes, **condition: str) -> str | None:
        bucket, name = split(key)
        try:
            with self._asking(key, "write"):
                return str(_client().put_object(Bucket=bucket, Key=name, Body=data, **condition)["ETag"])
        except RequestFailed as error:
            if _code(error.__cause__) in _CHANGED:
                return None
            raise

    @contextmanager
    def _asking(self, key: str, what: str) -> Iterator[None]:
        """Turn what boto3 raises into errors that name the object."""
        with require_extra(*_CLIENT):
            from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (BotoCoreError, ClientError) as error:
            code = _code(error)
            if code in _MISSING:
                raise ObjectMissing(self.url(key)) from error
            raise RequestFailed(self.url(key), what, str(error), _HINTS.get(code, "")) from error


class _Multipart:
    """A multipart upload."""

    at_once = 4

    def __init__(self, store: S3Store, key: str, number: str) -> None:
        self._store, self._key = store, key
        self._bucket, self._name = split(key)
        self._id = number
        self._etags: dict[int, str] = {}

    def send(self, number: int, data: bytearray, last: bool) -> None:  # noqa: ARG002 - GCS wants to know
        with self._store._asking(self._key, "write"):
            sent = _client().upload_part(
                Bucket=self._bucket, Key=self._name, UploadId=self._id, PartNumber=number, Body=data
            )
        self._etags[number] = sent["ETag"]

    def finish(self) -> None:
        parts = [{"PartNumber": number, "ETag": etag} for number, etag in sorted(self._etags.items())]
        try:
            with self._store._asking(self._key, "write"):
                _client().complete_multipart_upload(
                    Bucket=self._bucket, Key=self._name, UploadId=self._id, MultipartUpload={"Parts": parts}
                )
        except RequestFailed as error:
            if _code(error.__cause__) != "NoSuchUpload" or not self._is_there():
                raise

    def _is_there(self) -> bool:
        """Return whether the object is of our parts: the answer may have been lost, and boto3 has asked again."""
        try:
            sums = b"".join(bytes.fromhex(etag.strip('"')) for _, etag in sorted(self._etags.items()))
        except ValueError:  # encrypted, so that they are no checksums
            return False
        with self._store._asking(self._key, "look for"):
            found = str(_client().head_object(Bucket=self._bucket, Key=self._name)["ETag"])
        return found == f'"{hashlib.md5(sums, usedforsecurity=False).hexdigest()}-{len(self._etags)}"'

    def abort(self) -> None:
        with self._store._asking(self._key, "give up writing"):
            _client().abort_multipart_upload(Bucket=self._bucket, Key=self._name, UploadId=self._id)


def _piece(found: Any, data: bytes) -> Piece:
    whole = found.get("ContentRange", "").rpartition("/")[2]
    size = int(whole) if whole.isdigit() else len(data)
    told = found["ResponseMetadata"]["HTTPHeaders"].get("date")
    now = parsedate_to_datetime(told) if told else datetime.now(UTC)
    return Piece(data, found["ETag"], size, (now - found["LastModified"]).total_seconds())


def _code(error: BaseException | None) -> str:
    response: Any = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code") or type(error).__name__)


# -- the client ------------------------------------------------------------------------------------------------------

_clients = Clients(
    *("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"),
    *("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
)


def _client() -> Any:
    """Return boto3's client."""
    return _clients.get(_made, *_keys())


def _keys() -> tuple[str | None, str | None]:
    """Return the two keys, where the configuration names other environment variables than boto3 knows."""
    config = luigi.configuration.get_config()
    names = [
        config.get("S3Config", option, usual)
        for option, usual in (
            ("aws_access_key_id_name", "AWS_ACCESS_KEY_ID"),
            ("aws_secret_access_key_name", "AWS_SECRET_ACCESS_KEY"),
        )
    ]
    if names == ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]:
        return None, None
    return os.environ.get(names[0]), os.environ.get(names[1])


def _made(key: str | None, secret: str | None) -> Any:
    with require_extra(*_CLIENT):
        import boto3.session
        from botocore.config import Config
    # A session of its own: the default one is shared by the whole program, and is not made for several threads.
    session = boto3.session.Session()
    config = Config(connect_timeout=_CONNECT_SECONDS, max_pool_connections=_CONNECTIONS)
    try:
        return session.client("s3", aws_access_key_id=key, aws_secret_access_key=secret, config=config)
    except ValueError as error:
        raise ConfigError(str(error), key="AWS_ENDPOINT_URL", expected="https://HOST or http://HOST:PORT") from error
