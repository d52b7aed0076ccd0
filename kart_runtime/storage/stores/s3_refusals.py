"""What S3's refusals mean, and what to do: which right is missing, for what, and what else may be wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from kart_runtime.storage.stores.s3_client import code_of

_REACH = "Check AWS_ENDPOINT_URL, and that the service runs; `run.network_timeout` says how long to wait for it."
_KEYS = "Check the credentials: AWS_PROFILE, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, ~/.aws."
_RENEW = "The credentials have expired: get new ones, for example by `aws sso login`, and run again."
_CLOCK = "The clock of this machine is wrong: set it, for example by NTP, and run again."
_REGION = "Set AWS_DEFAULT_REGION to the region of the bucket{}."
_HINTS = {
    "NoSuchBucket": "Create the bucket, or correct the workspace's url.",
    **dict.fromkeys(("InvalidAccessKeyId", "SignatureDoesNotMatch", "401", "Unauthorized"), _KEYS),
    **dict.fromkeys(("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "InvalidToken"), _RENEW),
    **dict.fromkeys(("UnauthorizedSSOTokenError", "SSOTokenLoadError", "TokenRetrievalError"), _RENEW),
    **dict.fromkeys(("RequestTimeTooSkewed", "RequestExpired"), _CLOCK),
    "NotS3": "Is a proxy or a login page in between? Else check AWS_ENDPOINT_URL.",
    "NoCredentialsError": "Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
    "NoRegionError": "Set AWS_DEFAULT_REGION.",
    **dict.fromkeys(("EndpointConnectionError", "ConnectTimeoutError", "ConnectionClosedError"), _REACH),
    **dict.fromkeys(("ReadTimeoutError", "HTTPClientError", "ProxyConnectionError", "SSLError"), _REACH),
}
_OTHER_REGION = frozenset(
    {
        *("PermanentRedirect", "301", "TemporaryRedirect", "307", "Redirect", "302"),
        *("AuthorizationHeaderMalformed", "IllegalLocationConstraint", "IllegalLocationConstraintException"),
    }
)
_FORBIDDEN = 403
_REDIRECTS = frozenset({301, 302, 307})
_DENIED = frozenset({"AccessDenied", "403", "AllAccessDisabled", "AccountProblem"})

TOO_SHORT = frozenset({"403", "400", "401", "301", "302", "307", "AccessDenied"})
"""Codes of answers to HEAD, which has no text: only another request tells what is wrong."""

_RIGHTS = {
    **dict.fromkeys(("HeadObject", "GetObject"), "s3:GetObject"),
    **dict.fromkeys(("PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"), "s3:PutObject"),
    **dict.fromkeys(("DeleteObject", "DeleteObjects"), "s3:DeleteObject"),
    **dict.fromkeys(("CopyObject", "UploadPartCopy"), "s3:GetObject there, or s3:PutObject for the copy,"),
    "ListObjectsV2": "s3:ListBucket",
    "ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "AbortMultipartUpload": "s3:AbortMultipartUpload",
}
_OF_BUCKETS = frozenset({"ListObjectsV2", "ListMultipartUploads"})
_TOLD = re.compile(r"not authorized to perform: (\S+?)[.,]?(?: on resource: (\S+?)[.,]?)?(?:\s|$)")
"""What newer answers of AWS say themselves, also of rights for KMS."""


def hint_for(error: BaseException, bucket: str, name: str) -> str:
    """Return what to do about an error of boto3's."""
    code = code_of(error)
    if code in _OTHER_REGION or _status_of(error) in _REDIRECTS:
        region = _region_in(getattr(error, "response", None) or {})
        return _REGION.format(f": {region}" if region else "")
    if code in _DENIED or (code not in _HINTS and _status_of(error) == _FORBIDDEN):
        return _missing_right(error, bucket, name)
    return _HINTS.get(code, "")


def _missing_right(error: BaseException, bucket: str, name: str) -> str:
    operation = str(getattr(error, "operation_name", ""))
    told = _TOLD.search(str(error))
    right = told[1] if told else _RIGHTS.get(operation, "s3:*")
    resource = f"arn:aws:s3:::{bucket}" if operation in _OF_BUCKETS else f"arn:aws:s3:::{bucket}/{name or '*'}"
    if told and told[2]:
        resource = told[2].strip('"')
    if not told and "kms" in str(error).lower():
        right = "kms:GenerateDataKey and kms:Decrypt for the bucket's key, or " + right
    return f"The credentials lack the right {right} on {resource}: allow it, or use others (AWS_PROFILE)."


def _status_of(error: BaseException) -> int:
    response: Mapping[str, Any] = getattr(error, "response", None) or {}
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)


def _region_in(response: Mapping[str, Any]) -> str:
    headers = response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return str(headers.get("x-amz-bucket-region") or response.get("Error", {}).get("Region") or "")
