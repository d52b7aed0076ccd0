"""boto3's client for S3: where it finds service and credentials, its time limits and its retries.

botocore has neither a limit for all tries of a request together nor pauses short enough for eight of them in a minute,
so its own retries are switched off, and a handler of its event "needs-retry" decides.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from typing import Any

import luigi

from kart_runtime.errors import ConfigError, require_extra
from kart_runtime.storage.notes import note_upload_id
from kart_runtime.storage.stores.clients import Clients
from kart_runtime.storage.time_limits import TimeLimits, Tries, limits_for, time_limits

NEEDED = ("a workspace in S3 needs boto3", "s3")

_CONNECTIONS = 64

_TRANSIENT_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
_TRANSIENT_CODES = frozenset(
    {
        *(
            "SlowDown",
            "Throttling",
            "ThrottlingException",
            "RequestLimitExceeded",
            "RequestThrottled",
            "TooManyRequests",
        ),
        *("BandwidthLimitExceeded", "RequestTimeout", "RequestTimeoutException", "InternalError", "ServiceUnavailable"),
        *("PriorRequestNotComplete", "BadDigest", "XAmzContentChecksumMismatch", "IncompleteBody", "OperationAborted"),
    }
)
"""Codes of refusals that another try may not meet; also of bytes that changed on their way."""

_WITH_CONTENT, _REFUSED = 200, 300
_DELETIONS = frozenset({"DeleteObject", "AbortMultipartUpload"})
"""Operations whose answers have no content."""

_MEMBERS = {
    **dict.fromkeys(("HeadObject", "GetObject", "PutObject", "UploadPart", "CompleteMultipartUpload"), ("ETag",)),
    **dict.fromkeys(("ListObjectsV2", "ListMultipartUploads"), ("IsTruncated", "Name", "Bucket")),
    "CreateMultipartUpload": ("UploadId",),
    "CopyObject": ("CopyObjectResult",),
}
"""Operation to what its answer has: one of these."""

SERVICE = "s3"
"""Name of the service whose silence is remembered."""

_TRIES = "kart_tries"
"""Key in the context of a request, which all its tries share."""

_clients = Clients(
    *("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"),
    *("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
    "AWS_MAX_ATTEMPTS",
)


def client() -> Any:
    """Return boto3's client."""
    return _clients.get(_make, *_keys(), repr(time_limits(SERVICE).total))


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


def _make(key: str | None, secret: str | None, timeout: str) -> Any:
    with require_extra(*NEEDED):
        import boto3.session
        import botocore.session
        from botocore.config import Config
    limits = limits_for(float(timeout))
    times = {"connect_timeout": limits.connect, "read_timeout": limits.silence}
    # A session of its own: the default one is shared by the whole program, and not safe for several threads.
    core = botocore.session.get_session()
    # For the clients that look for credentials, which assume a role or refresh a login.
    core.set_default_client_config(Config(retries={"mode": "standard", "total_max_attempts": 2}, **times))
    config = Config(max_pool_connections=_CONNECTIONS, retries={"mode": "standard", "total_max_attempts": 1}, **times)
    session = boto3.session.Session(botocore_session=core)
    try:
        client = session.client("s3", aws_access_key_id=key, aws_secret_access_key=secret, config=config)
    except ValueError as error:
        raise ConfigError(str(error), key="AWS_ENDPOINT_URL", expected="https://HOST or http://HOST:PORT") from error
    _decide_retries(client, limits, core.get_config_variable("max_attempts"))
    client.meta.events.register("after-call.s3", partial(_check_answer, client))
    client.meta.events.register("after-call.s3.CreateMultipartUpload", partial(_note_upload, client))
    return client


def _check_answer(client: Any, http_response: Any, parsed: Mapping[str, Any], model: Any, **_: Any) -> None:
    """Raise an error if an answer that says "done" does not come from S3: nothing is absent, or stored, by it."""
    from botocore.exceptions import BotoCoreError

    if http_response.status_code >= _REFUSED:
        return
    members = _MEMBERS.get(model.name, ())
    # S3 says 204 to them. The type of other answers tells nothing: emulators call all of them text/html.
    is_page = (
        model.name in _DELETIONS
        and http_response.status_code == _WITH_CONTENT
        and http_response.headers.get("content-type", "").startswith("text/html")
    )
    if is_page or (members and not any(member in parsed for member in members)):

        class NotS3(BotoCoreError):  # type: ignore[misc]
            fmt = "the server at {address} does not answer as S3 does"

        http_response.raw.close()  # nobody reads the bytes of an object
        raise NotS3(address=client.meta.endpoint_url)


def _note_upload(client: Any, parsed: Mapping[str, Any], **_: Any) -> None:
    """Note the id of an upload that has begun, which boto3's transfers do not tell."""
    if "UploadId" in parsed:
        note_upload_id(str(client.meta.endpoint_url), f"{parsed['Bucket']}/{parsed['Key']}", parsed["UploadId"])


def _decide_retries(client: Any, limits: TimeLimits, most: int | None) -> None:
    """Retry what may pass until the time is over; `most` tries if the user's configuration names a number."""

    def begin(params: dict[str, Any], **_: Any) -> None:
        params["context"][_TRIES] = Tries(client.meta.endpoint_url, limits)

    def pause(
        attempts: int, request_dict: dict[str, Any], response: Any = None, caught_exception: Any = None, **_: Any
    ) -> float | None:
        if (most is not None and attempts >= most) or not _may_pass(response, caught_exception):
            return None
        tries: Tries = request_dict["context"][_TRIES]
        return tries.pause(caught_exception or _code_in(response))

    client.meta.events.register("before-call.s3", begin)
    client.meta.events.register("before-call.s3.HeadBucket", _redirect_no_search)
    client.meta.events.register_first("needs-retry.s3", pause)


def _redirect_no_search(params: dict[str, Any], **_: Any) -> None:
    """Take the request by which botocore looks for a bucket's region for redirected: it would look for it, and so on.

    An answer without a region to that request, too, would be a RecursionError.
    """
    params["context"].setdefault("s3_redirect", {})["redirected"] = True


def _may_pass(response: Any, error: BaseException | None) -> bool:
    if error is not None:
        return is_silence(error) and "CERTIFICATE_VERIFY_FAILED" not in str(error)
    if response is None:
        return False
    return response[0].status_code in _TRANSIENT_STATUSES or _code_in(response) in _TRANSIENT_CODES


def _code_in(response: Any) -> str:
    return str(response[1].get("Error", {}).get("Code") or response[0].status_code)


def is_silence(error: BaseException) -> bool:
    """Return whether no answer came."""
    from botocore.exceptions import ConnectionError as NoConnection
    from botocore.exceptions import HTTPClientError

    return isinstance(error, NoConnection | HTTPClientError)


def code_of(error: BaseException | None) -> str:
    """Return the service's code of an error, such as "NoSuchKey", else the name of its class."""
    response: Any = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code") or type(error).__name__)


def was_retried(error: BaseException | None) -> bool:
    """Return whether a request had been sent before, so that the refusal may be about what it did itself."""
    response: Any = getattr(error, "response", None) or {}
    return bool(response.get("ResponseMetadata", {}).get("RetryAttempts"))
