"""Requests over HTTP that the exporters make themselves: three tries, no redirects, a receiver that may be silent."""

from __future__ import annotations

import base64
import http.client
import os
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit, urlunsplit

SECONDS = 8.0
"""Seconds that the receiver may be silent."""

_PAUSES = (0.3, 0.7)
"""Seconds before the second and the third try."""

_MOST_BYTES = 50_000_000
"""Bytes of an answer that are read."""


class Refused(ConnectionError):
    """A receiver answered that it does not take a request; `status` and `body` are its answer."""

    def __init__(self, status: int, reason: str, body: str = "") -> None:
        self.status, self.reason, self.body = status, reason, body
        super().__init__(f"HTTP {status} {reason}{f': {body[:300]}' if body else ''}")


class Address(NamedTuple):
    """Address of a receiver without the user and password in it, and the header that these make."""

    url: str
    headers: Mapping[str, str]

    @property
    def host(self) -> str:
        """Return the host and port, which is all that a message may show: a path may be a secret."""
        return urlsplit(self.url).netloc


def address_of(url: str) -> Address:
    """Return an address of http or https; raise `ValueError` if it is none."""
    place = urlsplit(url.strip())
    place.port  # noqa: B018 - raises if it is no number
    if place.scheme not in ("http", "https") or not place.hostname:
        raise ValueError("it does not begin with http://HOST or https://HOST")
    user, at, host = place.netloc.rpartition("@")
    headers = {"Authorization": basic(*map(unquote, (user.partition(":")[0], user.partition(":")[2])))} if at else {}
    return Address(urlunsplit(place._replace(netloc=host)), headers)


def basic(user: str, password: str) -> str:
    """Return the header of a user and password."""
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def call(
    method: str,
    url: str,
    data: bytes | None,
    headers: Mapping[str, str],
    context: ssl.SSLContext | None = None,
    *,
    again_after_silence: bool = True,
) -> bytes:
    """Send a request, and return the answer; raise `ConnectionError` after three tries, or one that was refused.

    Not `again_after_silence`: the receiver may have a request that it has not answered, and must not get it twice.
    """
    request = urllib.request.Request(url, data, {"User-Agent": "kart", **headers}, method=method)  # noqa: S310
    opener = urllib.request.build_opener(_NoRedirect, urllib.request.HTTPSHandler(context=context))
    for pause in (*_PAUSES, None):
        try:
            with opener.open(request, timeout=SECONDS) as answer:
                return bytes(answer.read(_MOST_BYTES))
        except urllib.error.HTTPError as error:
            with error:
                if pause is None or (error.code < 500 and error.code != 429):
                    raise _refused(error) from error
        except (OSError, http.client.HTTPException) as error:
            cause = error.reason if type(error) is urllib.error.URLError else error
            if pause is None or (isinstance(cause, TimeoutError) and not again_after_silence):
                raise ConnectionError(_told(cause)) from error
        time.sleep(pause)
    raise AssertionError("the last try returns or raises")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected POST would become a GET without its body, or take it to another host."""

    def redirect_request(self, *_arguments: Any, **_more: Any) -> None:
        return None


def _refused(error: urllib.error.HTTPError) -> Refused:
    if error.code < 400:
        place = urlsplit(error.headers.get("Location", ""))
        return Refused(error.code, f"redirects to {place.scheme}://{place.netloc}; set the address to that")
    try:
        body = error.read(10_000).decode(errors="replace")
    except (OSError, http.client.HTTPException):
        body = ""
    return Refused(error.code, str(error.reason), body)


def _told(cause: object) -> str:
    if isinstance(cause, TimeoutError):
        return f"no answer within {SECONDS:.0f} seconds"
    if isinstance(cause, http.client.HTTPException) and not isinstance(cause, OSError):
        return f"the answer is no HTTP: {cause!r:.100}"
    return str(cause) or type(cause).__name__


def tls_context(insecure: str, file: str) -> ssl.SSLContext | None:
    """Return a context by the values of two variables: not to check the certificate, or by which file."""
    if insecure.lower() in ("1", "true"):
        return ssl._create_unverified_context()  # noqa: S323 - the user asked for it
    return ssl.create_default_context(cafile=file) if file and os.path.exists(file) else None  # noqa: PTH110
