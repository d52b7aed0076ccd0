"""Multipart uploads to S3, several parts at once, and none that goes on when the program is interrupted.

boto3's own transfers wait on Ctrl-C until each request of theirs has ended or timed out, and do not tell the version.
"""

from __future__ import annotations

import math
import os
import threading
from typing import Any, BinaryIO

from kart_runtime.storage.stores import upload
from kart_runtime.storage.stores.s3_client import code_of, was_retried
from kart_runtime.storage.stores.threads import RequestThreads, without_waiting

_CONCURRENCY = 4
"""Parts of one object that are uploaded at once, each held in memory."""

_MOST_PARTS = 10_000
_ABORT_SECONDS, _ABORT_SECONDS_INTERRUPTED = 10.0, 1.0
"""Seconds to wait until the service has dropped what it has; `kart gc` drops it otherwise."""


def upload_in_parts(client: Any, bucket: str, name: str, file: BinaryIO, **properties: Any) -> str:
    """Store a file as an object that appears with its last part, and return its etag; abort the upload if it fails."""
    place: dict[str, Any] = {"Bucket": bucket, "Key": name}
    place["UploadId"] = client.create_multipart_upload(**place, **properties)["UploadId"]
    try:
        return _complete(client, place, _send_parts(client, place, file))
    except Exception:
        without_waiting(lambda: client.abort_multipart_upload(**place), _ABORT_SECONDS)
        raise
    except BaseException:
        without_waiting(lambda: client.abort_multipart_upload(**place), _ABORT_SECONDS_INTERRUPTED)
        raise


def _send_parts(client: Any, place: dict[str, Any], file: BinaryIO) -> list[dict[str, Any]]:
    size = file.seek(0, os.SEEK_END)
    part = upload.PART
    while math.ceil(size / part) > _MOST_PARTS:
        part *= 2
    reading = threading.Lock()

    def send(start: int) -> dict[str, Any]:
        number = start // part + 1
        with reading:
            file.seek(start)
            data = file.read(part)
        etag = client.upload_part(**place, PartNumber=number, Body=upload.in_blocks(data))["ETag"]
        return {"PartNumber": number, "ETag": etag}

    with RequestThreads(_CONCURRENCY, "kart-upload") as threads:
        futures = [threads.submit(send, start) for start in range(0, size, part)]
        return [future.result() for future in futures]


def _complete(client: Any, place: dict[str, Any], parts: list[dict[str, Any]]) -> str:
    from botocore.exceptions import ClientError

    try:
        return str(client.complete_multipart_upload(**place, MultipartUpload={"Parts": parts})["ETag"])
    except ClientError as error:
        # The answer to the request may have been lost, which was then sent again.
        if code_of(error) != "NoSuchUpload" or not was_retried(error):
            raise
        etag = _etag_of(client, place)
        if etag.strip('"') != _etag_from(parts):
            raise
        return etag


def _etag_of(client: Any, place: dict[str, Any]) -> str:
    return str(client.head_object(Bucket=place["Bucket"], Key=place["Key"])["ETag"])


def _etag_from(parts: list[dict[str, Any]]) -> str:
    """Return the etag of an object of these parts: the checksum of their checksums, and their number."""
    from hashlib import md5

    sums = b"".join(bytes.fromhex(part["ETag"].strip('"')) for part in parts)
    return f"{md5(sums, usedforsecurity=False).hexdigest()}-{len(parts)}"
