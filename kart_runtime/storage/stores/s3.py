"""Store for S3 and compatible services, by boto3's client.

boto3 finds endpoint, region and credentials: ``AWS_ENDPOINT_URL``, ``AWS_PROFILE``, ``~/.aws/config``, the machine's
role. As in gokart, the section ``[S3Config]`` of luigi's configuration may name other environment variables for the two
keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, BinaryIO

from kart_runtime.errors import ObjectMissing, RequestFailed, require_extra
from kart_runtime.storage.notes import noted_upload
from kart_runtime.storage.stores import Stat, UnfinishedUpload, upload
from kart_runtime.storage.stores.object_cache import ObjectReplaced
from kart_runtime.storage.stores.objects import Chunk, Labels, ObjectStore, Page, split
from kart_runtime.storage.stores.s3_client import NEEDED, SERVICE, client, code_of, is_silence, was_retried
from kart_runtime.storage.stores.s3_refusals import TOO_SHORT, hint_for
from kart_runtime.storage.stores.s3_uploads import upload_in_parts
from kart_runtime.storage.time_limits import Tries, note_answer, note_silence, time_limits
from kart_runtime.storage.workspace import as_folder

_COPY_BYTES = 5 << 30
"""Bytes up to which the service copies an object by one request."""

_MISSING = frozenset({"NoSuchKey", "404", "NotFound"})
_CHANGED = frozenset({"PreconditionFailed", "412", "ConditionalRequestConflict", "409"})
_TOO_FAR = frozenset({"InvalidRange", "416"})
_NOT_KNOWN = frozenset({"NotImplemented", "501", "ParamValidationError"})
"""Answers to a condition that the service, or an older boto3, does not know."""

_BLOCK = 256 << 10
"""Bytes of an answer that are read at once."""


class S3Store(ObjectStore):
    """Objects in S3, under urls like ``s3://bucket/folder/x.pkl``."""

    scheme = "s3"

    def service_id(self) -> str:
        """Return the address of the service."""
        with self._request("", "find the service"):
            return str(client().meta.endpoint_url)

    def _stat(self, key: str) -> Stat | None:
        bucket, name = split(key)
        try:
            with self._request(key, "look for"):
                head = client().head_object(Bucket=bucket, Key=name)
        except ObjectMissing:
            return None
        except RequestFailed as error:
            self._explain_stat(error, bucket, name)
            raise
        return Stat(key, head["ContentLength"], head["LastModified"].timestamp(), head["ETag"])

    def _explain_stat(self, refusal: RequestFailed, bucket: str, name: str) -> None:
        """Raise what a list of the object says: HEAD brings no text, and one without the right to list is never 404."""
        if code_of(refusal.__cause__) not in TOO_SHORT:
            return
        try:
            with self._request(f"{bucket}/{name}", "look for"):
                client().list_objects_v2(Bucket=bucket, Prefix=name, MaxKeys=1)
        except RequestFailed as error:
            found = f"{refusal.found.rstrip('.')}; {error.found}"
            raise RequestFailed(refusal.url, refusal.what, found, error.hint) from refusal.__cause__

    def get(self, key: str, start: int, length: int, unless: str = "", only: str = "") -> Chunk | None:
        """Return up to `length` bytes of an object, None if its etag is still `unless`."""
        bucket, name = split(key)
        request = {"Bucket": bucket, "Key": name}
        request |= {"IfNoneMatch": unless} if unless else {"IfMatch": only} if only else {}
        try:
            return self._read(key, {**request, "Range": f"bytes={start}-{start + length - 1}"})
        except RequestFailed as error:
            code = code_of(error.__cause__)
            if code in {"304", "NotModified"}:
                return None
            if code in _CHANGED or (code in _TOO_FAR and start):
                raise ObjectReplaced(self.url(key)) from error
            if code not in _TOO_FAR:
                raise
        return self._read(key, request)  # an empty object has no first byte

    def _read(self, key: str, request: dict[str, str]) -> Chunk:
        with self._request(key, "read"):
            from botocore.exceptions import FlexibleChecksumError, HTTPClientError, IncompleteReadError

            tries = Tries(self.url(key), time_limits(SERVICE))
            while True:
                response = client().get_object(**request)
                try:
                    return _chunk(response, _bytes_of(response["Body"], tries))
                except (HTTPClientError, IncompleteReadError, FlexibleChecksumError) as error:  # boto3 retries none
                    if not tries.sleep(error):
                        raise

    def mark_of(self, key: str) -> str:
        """Return the checksum that an object was marked with, "" if it has no mark."""
        bucket, name = split(key)
        with suppress(ObjectMissing), self._request(key, "look for"):
            return str(client().head_object(Bucket=bucket, Key=name)["Metadata"].get(upload.MARK, ""))
        return ""

    def put(self, key: str, data: bytes, labels: Labels | None = None) -> str:
        """Store an object by one request, and return its etag."""
        bucket, name = split(key)
        with self._request(key, "write"):
            body = upload.in_blocks(data)
            return str(client().put_object(Bucket=bucket, Key=name, Body=body, **_mark(labels))["ETag"])

    def upload(self, key: str, file: BinaryIO, labels: Labels | None = None) -> str:
        """Store a large object from a file by a multipart upload; return its etag."""
        bucket, name = split(key)
        with self._request(key, "write"), noted_upload(self, key):
            return upload_in_parts(client(), bucket, name, file, **_mark(labels))

    def copy(self, source: str, key: str) -> str:
        """Copy an object inside the service; return its etag, "" for a very large one, which is copied in parts."""
        bucket, name = split(key)
        origin = dict(zip(("Bucket", "Key"), split(source), strict=True))
        with self._request(source, "copy"):
            if client().head_object(**origin)["ContentLength"] <= _COPY_BYTES:
                response = client().copy_object(Bucket=bucket, Key=name, CopySource=origin)
                return str(response["CopyObjectResult"]["ETag"])
            with noted_upload(self, key):
                client().copy(origin, bucket, name, Config=_transfer_config())
        return ""

    def page(self, prefix: str, token: str | None = None, *, below: bool = False, after: str = "") -> Page:
        """Return at most 1,000 objects whose keys begin with a prefix."""
        bucket, folder = split(prefix)
        request: dict[str, str] = {} if below else {"Delimiter": "/"}
        if token:
            request["ContinuationToken"] = token
        elif after:
            request["StartAfter"] = split(after)[1]
        with self._request(prefix, "list"):
            response = client().list_objects_v2(Bucket=bucket, Prefix=folder, **request)
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
            client().delete_object(Bucket=bucket, Key=name, **condition)

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
                    response = client().delete_objects(Bucket=bucket, Delete={"Objects": batch, "Quiet": True})
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
            code = code_of(error.__cause__)
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
            pages = client().get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=folder)
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
                client().abort_multipart_upload(Bucket=bucket, Key=name, UploadId=upload.id)
        except RequestFailed as error:
            if code_of(error.__cause__) != "NoSuchUpload":  # it has just ended
                raise
            return False
        return True

    def _put_if(self, key: str, data: bytes, **condition: str) -> str | None:
        bucket, name = split(key)
        try:
            with self._request(key, "write"):
                body = upload.in_blocks(data)
                return str(client().put_object(Bucket=bucket, Key=name, Body=body, **condition)["ETag"])
        except RequestFailed as error:
            if code_of(error.__cause__) not in _CHANGED:
                raise
            return self._own_version(key, data) if was_retried(error.__cause__) else None

    @contextmanager
    def _request(self, key: str, what: str) -> Iterator[None]:
        """Convert boto3's errors into errors that name the object."""
        with require_extra(*NEEDED):
            from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
            if key:  # else nobody was asked
                note_answer(SERVICE)
        except (BotoCoreError, ClientError) as error:
            (note_silence if is_silence(error) else note_answer)(SERVICE)
            if code_of(error) in _MISSING:
                raise ObjectMissing(self.url(key)) from error
            raise RequestFailed(self.url(key), what, str(error), hint_for(error, *split(key))) from error


def _bytes_of(body: Any, tries: Tries) -> bytes:
    """Return the bytes of an answer; as long as they come, its time does not run out."""
    blocks = []
    while block := body.read(_BLOCK):
        blocks.append(block)
        if len(block) == _BLOCK:
            tries.extend()
    return b"".join(blocks)


def _mark(labels: Labels | None) -> dict[str, Any]:
    """Return the metadata of an object: its mark, if it has one; other labels are for GCS."""
    return {"Metadata": {upload.MARK: labels[upload.MARK]}} if labels and upload.MARK in labels else {}


def _chunk(response: Any, data: bytes) -> Chunk:
    total = response.get("ContentRange", "").rpartition("/")[2]
    size = int(total) if total.isdigit() else len(data)
    date = response["ResponseMetadata"]["HTTPHeaders"].get("date")
    now = parsedate_to_datetime(date) if date else datetime.now(UTC)
    return Chunk(data, response["ETag"], size, (now - response["LastModified"]).total_seconds())


def _transfer_config() -> Any:
    from boto3.s3.transfer import TransferConfig

    return TransferConfig(upload.PART, multipart_chunksize=upload.PART, preferred_transfer_client="classic")
