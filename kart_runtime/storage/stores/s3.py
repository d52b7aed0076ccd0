"""Store for S3 and compatible services, by boto3's client.

boto3 finds endpoint, region and credentials: ``AWS_ENDPOINT_URL``, ``AWS_PROFILE``, ``~/.aws/config``, the machine's
role. As in gokart, the section ``[S3Config]`` of luigi's configuration may name other environment variables for the two
keys.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, BinaryIO

import luigi

from kart_runtime.errors import ConfigError, ObjectMissing, RequestFailed, require_extra
from kart_runtime.storage.notes import note_upload_id, noted_upload
from kart_runtime.storage.stores import Stat, UnfinishedUpload, upload
from kart_runtime.storage.stores.clients import Clients
from kart_runtime.storage.stores.object_cache import ObjectReplaced
from kart_runtime.storage.stores.objects import Chunk, Labels, ObjectStore, Page, split
from kart_runtime.storage.workspace import as_folder

_CLIENT = ("a workspace in S3 needs boto3", "s3")

_CONNECT_SECONDS = 10
_CONNECTIONS = 64

_CONCURRENCY = 4
"""Parts of one object that are uploaded at once, each held in memory."""

_COPY_BYTES = 5 << 30
"""Bytes up to which the service copies an object by one request."""

_MISSING = frozenset({"NoSuchKey", "404", "NotFound"})
_CHANGED = frozenset({"PreconditionFailed", "412", "ConditionalRequestConflict", "409"})
_TOO_FAR = frozenset({"InvalidRange", "416"})
_NOT_KNOWN = frozenset({"NotImplemented", "501", "ParamValidationError"})
"""Answers to a condition that the service, or an older boto3, does not know."""

_READS = 3
"""Attempts to read bytes whose connection ends too early; boto3 does not retry these."""

_REACH = "Check AWS_ENDPOINT_URL, and that the service runs."
_HINTS = {
    "NoSuchBucket": "Create the bucket, or correct the workspace's url.",
    "AccessDenied": "Allow these credentials to list, read, write and delete there.",
    "403": "Allow these credentials to list, read, write and delete there.",
    "InvalidAccessKeyId": "Check the credentials: AWS_PROFILE, AWS_ACCESS_KEY_ID, ~/.aws.",
    "SignatureDoesNotMatch": "Check the credentials: AWS_PROFILE, AWS_ACCESS_KEY_ID, ~/.aws.",
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

    def service_id(self) -> str:
        """Return the address of the service."""
        with self._request("", "find the service"):
            return str(_client().meta.endpoint_url)

    def _stat(self, key: str) -> Stat | None:
        bucket, name = split(key)
        try:
            with self._request(key, "look for"):
                head = _client().head_object(Bucket=bucket, Key=name)
        except ObjectMissing:
            return None
        return Stat(key, head["ContentLength"], head["LastModified"].timestamp(), head["ETag"])

    def get(self, key: str, start: int, length: int, unless: str = "", only: str = "") -> Chunk | None:
        """Return up to `length` bytes of an object, None if its etag is still `unless`."""
        bucket, name = split(key)
        request = {"Bucket": bucket, "Key": name}
        request |= {"IfNoneMatch": unless} if unless else {"IfMatch": only} if only else {}
        try:
            return self._read(key, {**request, "Range": f"bytes={start}-{start + length - 1}"})
        except RequestFailed as error:
            code = _code(error.__cause__)
            if code in {"304", "NotModified"}:
                return None
            if code in _CHANGED or (code in _TOO_FAR and start):
                raise ObjectReplaced(self.url(key)) from error
            if code not in _TOO_FAR:
                raise
        return self._read(key, request)  # an empty object has no first byte

    def _read(self, key: str, request: dict[str, str]) -> Chunk:
        with self._request(key, "read"):
            from botocore.exceptions import HTTPClientError, IncompleteReadError

            for _ in range(_READS - 1):
                response = _client().get_object(**request)
                with suppress(HTTPClientError, IncompleteReadError):
                    return _chunk(response, response["Body"].read())
            response = _client().get_object(**request)
            return _chunk(response, response["Body"].read())

    def mark_of(self, key: str) -> str:
        """Return the checksum that an object was marked with, "" if it has no mark."""
        bucket, name = split(key)
        with suppress(ObjectMissing), self._request(key, "look for"):
            return str(_client().head_object(Bucket=bucket, Key=name)["Metadata"].get(upload.MARK, ""))
        return ""

    def put(self, key: str, data: bytes, labels: Labels | None = None) -> str:
        """Store an object by one request, and return its etag."""
        bucket, name = split(key)
        with self._request(key, "write"):
            return str(_client().put_object(Bucket=bucket, Key=name, Body=data, **_mark(labels))["ETag"])

    def upload(self, key: str, file: BinaryIO, labels: Labels | None = None) -> str:
        """Store a large object from a file by a multipart upload, which boto3 aborts if it fails; return its etag."""
        bucket, name = split(key)
        try:
            with self._request(key, "write"), noted_upload(self, key):
                _client().upload_fileobj(file, bucket, name, ExtraArgs=_mark(labels), Config=_transfer_config())
        except RequestFailed as error:
            # If the answer to the last request was lost, boto3 has sent it again.
            if _code(error.__cause__) != "NoSuchUpload" or not self._is_uploaded(key, file):
                raise
        return self._version(key)  # boto3 does not return the etag

    def copy(self, source: str, key: str) -> str:
        """Copy an object inside the service; return its etag, "" for a very large one, which is copied in parts."""
        bucket, name = split(key)
        origin = dict(zip(("Bucket", "Key"), split(source), strict=True))
        with self._request(source, "copy"):
            if _client().head_object(**origin)["ContentLength"] <= _COPY_BYTES:
                response = _client().copy_object(Bucket=bucket, Key=name, CopySource=origin)
                return str(response["CopyObjectResult"]["ETag"])
            with noted_upload(self, key):
                _client().copy(origin, bucket, name, Config=_transfer_config())
        return ""

    def _is_uploaded(self, key: str, file: BinaryIO) -> bool:
        """Return whether the object consists of a file's parts, by its etag: the checksum of their checksums."""
        bucket, name = split(key)
        with self._request(key, "look for"):
            etag = str(_client().head_object(Bucket=bucket, Key=name)["ETag"]).strip('"')
        digest, _, count = etag.partition("-")
        size, part = file.seek(0, os.SEEK_END), upload.PART
        while count.isdigit() and math.ceil(size / part) > int(count):  # boto3 doubles the parts of very large objects
            part *= 2
        file.seek(0)
        parts = iter(partial(file.read, part), b"")
        sums = b"".join(hashlib.md5(data, usedforsecurity=False).digest() for data in parts)
        return digest == hashlib.md5(sums, usedforsecurity=False).hexdigest()

    def page(self, prefix: str, token: str | None = None, *, below: bool = False, after: str = "") -> Page:
        """Return at most 1,000 objects whose keys begin with a prefix."""
        bucket, folder = split(prefix)
        request: dict[str, str] = {} if below else {"Delimiter": "/"}
        if token:
            request["ContinuationToken"] = token
        elif after:
            request["StartAfter"] = split(after)[1]
        with self._request(prefix, "list"):
            response = _client().list_objects_v2(Bucket=bucket, Prefix=folder, **request)
        objects = [
            Stat(f"{bucket}/{entry['Key']}", entry["Size"], entry["LastModified"].timestamp(), entry["ETag"])
            for entry in response.get("Contents", ())
        ]
        folders = [f"{bucket}/{entry['Prefix']}" for entry in response.get("CommonPrefixes", ())]
        last = max([*folders[-1:], *(stat.key for stat in objects[-1:])], default="")
        return Page(objects, last, response.get("NextContinuationToken") if response.get("IsTruncated") else None)

    def _delete(self, key: str, **condition: str) -> None:
        bucket, name = split(key)
        with self._request(key, "delete"):
            _client().delete_object(Bucket=bucket, Key=name, **condition)

    def delete_many(self, keys: Sequence[str]) -> dict[str, str]:
        """Delete objects, with a request for each 1,000; return the keys that could not be deleted, and why."""
        failed: dict[str, str] = {}
        by_bucket: dict[str, list[str]] = {}
        for key in keys:
            bucket, name = split(key)
            by_bucket.setdefault(bucket, []).append(name)
        for bucket, names in by_bucket.items():
            for start in range(0, len(names), 1000):
                batch = [{"Key": name} for name in names[start : start + 1000]]
                with self._request(f"{bucket}/", "delete objects of"):
                    response = _client().delete_objects(Bucket=bucket, Delete={"Objects": batch, "Quiet": True})
                for error in response.get("Errors", ()):
                    failed[f"{bucket}/{error['Key']}"] = f"{error.get('Code')}: {error.get('Message')}"
        return failed

    def create(self, key: str, data: bytes) -> str | None:
        """Store an object unless it exists, and return its etag; None if it exists."""
        return self._put_if(key, data, IfNoneMatch="*")

    def replace(self, key: str, data: bytes, version: str) -> str | None:
        """Replace an object that still has an etag, and return the new one; None if it has another.

        The etag depends on the content, so an object that was replaced and then restored counts as unchanged: write
        different content each time, as locks do.
        """
        try:
            return self._put_if(key, data, IfMatch=version)
        except ObjectMissing:
            return None

    def delete_version(self, key: str, version: str) -> bool:
        """Delete an object that still has an etag; return whether it was deleted.

        A service that refuses conditions here needs two requests. One that ignores them deletes the object in any case,
        so callers make sure by time.
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
            current = self.read(key)
            if current is None or current.version != version:
                return False
            self._delete(key)
        return True

    def unfinished(self, prefix: str, before: float) -> list[UnfinishedUpload]:
        """Return the incomplete uploads below a folder that began before a time, in seconds since the epoch."""
        bucket, folder = split(as_folder(prefix))
        with self._request(prefix, "look for uploads in"):
            pages = _client().get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=folder)
            return [
                UnfinishedUpload(f"{bucket}/{entry['Key']}", entry["UploadId"])
                for page in pages
                for entry in page.get("Uploads", ())
                if entry["Initiated"].timestamp() < before
            ]

    def discard(self, upload: UnfinishedUpload) -> bool:
        """Abort an incomplete upload; return whether it existed."""
        bucket, name = split(upload.key)
        try:
            with self._request(upload.key, "abort the upload of"):
                _client().abort_multipart_upload(Bucket=bucket, Key=name, UploadId=upload.id)
        except RequestFailed as error:
            if _code(error.__cause__) != "NoSuchUpload":  # it has just ended
                raise
            return False
        return True

    def _put_if(self, key: str, data: bytes, **condition: str) -> str | None:
        bucket, name = split(key)
        try:
            with self._request(key, "write"):
                return str(_client().put_object(Bucket=bucket, Key=name, Body=data, **condition)["ETag"])
        except RequestFailed as error:
            if _code(error.__cause__) in _CHANGED:
                return None
            raise

    @contextmanager
    def _request(self, key: str, what: str) -> Iterator[None]:
        """Convert boto3's errors into errors that name the object."""
        with require_extra(*_CLIENT):
            from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (BotoCoreError, ClientError) as error:
            code = _code(error)
            if code in _MISSING:
                raise ObjectMissing(self.url(key)) from error
            raise RequestFailed(self.url(key), what, str(error), _HINTS.get(code, "")) from error


def _mark(labels: Labels | None) -> dict[str, dict[str, str]]:
    """Return the metadata of an object: its mark, if it has one; other labels are for GCS."""
    return {"Metadata": {upload.MARK: labels[upload.MARK]}} if labels and upload.MARK in labels else {}


def _chunk(response: Any, data: bytes) -> Chunk:
    total = response.get("ContentRange", "").rpartition("/")[2]
    size = int(total) if total.isdigit() else len(data)
    date = response["ResponseMetadata"]["HTTPHeaders"].get("date")
    now = parsedate_to_datetime(date) if date else datetime.now(UTC)
    return Chunk(data, response["ETag"], size, (now - response["LastModified"]).total_seconds())


def _code(error: BaseException | None) -> str:
    response: Any = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code") or type(error).__name__)


# -- the client ------------------------------------------------------------------------------------------------------

_clients = Clients(
    *("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"),
    *("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
)


def _transfer_config() -> Any:
    from boto3.s3.transfer import TransferConfig

    config = TransferConfig(upload.PART, _CONCURRENCY, upload.PART, preferred_transfer_client="classic")
    config.max_in_memory_upload_chunks = _CONCURRENCY
    return config


def _client() -> Any:
    """Return boto3's client."""
    return _clients.get(_make_client, *_keys())


def _keys() -> tuple[str | None, str | None]:
    """Return the two keys if the configuration names other environment variables than boto3 reads."""
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


def _make_client(key: str | None, secret: str | None) -> Any:
    with require_extra(*_CLIENT):
        import boto3.session
        from botocore.config import Config
    # A session of its own: the default one is shared by the whole program, and not safe for several threads.
    session = boto3.session.Session()
    config = Config(connect_timeout=_CONNECT_SECONDS, max_pool_connections=_CONNECTIONS)
    try:
        client = session.client("s3", aws_access_key_id=key, aws_secret_access_key=secret, config=config)
    except ValueError as error:
        raise ConfigError(str(error), key="AWS_ENDPOINT_URL", expected="https://HOST or http://HOST:PORT") from error
    client.meta.events.register("after-call.s3.CreateMultipartUpload", partial(_note_upload, client))
    return client


def _note_upload(client: Any, parsed: Mapping[str, Any], **_: Any) -> None:
    """Note the id of an upload that has begun, which `upload_fileobj` does not tell."""
    if "UploadId" in parsed:
        note_upload_id(str(client.meta.endpoint_url), f"{parsed['Bucket']}/{parsed['Key']}", parsed["UploadId"])
