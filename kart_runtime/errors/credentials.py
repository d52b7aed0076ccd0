"""Credentials in what libraries log about their requests, by the names of headers and fields that hold them.

Nobody in this process may know such a value beforehand: a service has just given it.
"""

from __future__ import annotations

import re

from kart_runtime.errors.secrets import MASK

_FIELDS = (
    r"access_?token|refresh_?token|id_?token|session_?token|security_?token|client_?secret|assertion|private_?key"
    r"|secret_?access_?key|api_?key|password|passwd|x-amz-(?:signature|credential|security-token)"
    r"|x-goog-(?:signature|credential)|signature|sig"
)
_CREDENTIALS = re.compile(
    rf"""
    (?: \b | (?<=\\n) )  # in the repr of bytes as well
    (?: (?P<header> (?:(?:proxy-)?authorization|(?:set-)?cookie|x-api-key|x-[a-z-]*token|api-key)
        (?: ['"]\s*[:,]\s*b?['"]? | :\s* ) ) [^'"\r\n\\]+
      | (?P<field> (?:{_FIELDS}) (?: ['"]\s*[:,]\s*b?['"]? | =b?['"]? ) ) [^'"&\s,;<>)}}\\]+
      | (?P<element> (?:SecretAccessKey|SessionToken|AccessKeyId)> ) [^<]+
    )""",
    re.IGNORECASE | re.VERBOSE,
)

_LIBRARIES = frozenset(
    {"aiohttp", "azure", "boto", "boto3", "botocore", "google", "h11", "h2", "httpcore", "httpx", "requests"}
    | {"requests_oauthlib", "s3transfer", "slack_sdk", "snowflake", "urllib3", "websockets"}
)


def is_of_requests(logger: str | None) -> bool:
    """Return whether a logger is that of a library that logs requests."""
    return (logger or "").partition(".")[0] in _LIBRARIES


def without_credentials(text: str) -> str:
    """Return a text with `***` in place of the values of headers, fields and elements that hold credentials."""
    return _CREDENTIALS.sub(lambda match: f"{match['header'] or match['field'] or match['element']}{MASK}", text)
