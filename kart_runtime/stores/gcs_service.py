"""How is Google Cloud Storage asked? By requests of its JSON API, through a session that all threads share.

`gcs` says what is asked. The requests go through google-auth's session and not through google-cloud-storage: that tells
neither how large an object is of which it reads a part, nor when it was written, and it takes a large object from a
file, where ours comes part by part. google-cloud-storage says where the service is.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import luigi

from kart_runtime.errors import ConfigError

PAUSES = (0.3, 1.0, 2.0, 4.0, 8.0)
"""Seconds before each further try."""

_CONNECT_SECONDS, _READ_SECONDS = 10, 60
_CONNECTIONS = 64
_SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
_TRY_AGAIN = frozenset({408, 429, 500, 502, 503, 504})

LOG_IN = "See which credentials are used: GOOGLE_APPLICATION_CREDENTIALS, gcloud auth application-default login."
_REACH = "See whether the service can be reached from here, and whether STORAGE_EMULATOR_HOST is right if it is set."

_NOTHING: Mapping[str, str] = {}
_chance = random.SystemRandom()  # the global generator is seeded, for the task that waits here


class Request(NamedTuple):
    """What is sent.

    Attributes
    ----------
    method
        ``GET`` and the like.
    path
        Where to, below the service's address; or a whole url.
    asked
        The query; what is empty is not sent.
    headers
        Headers.
    body
        Bytes.
    """

    method: str
    path: str
    asked: Mapping[str, str] = _NOTHING
    headers: Mapping[str, str] = _NOTHING
    body: bytes | None = None


class Answer(NamedTuple):
    """What comes back.

    Attributes
    ----------
    status
        The number of the outcome.
    headers
        Headers; their names count in any case.
    body
        Bytes, as they came.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    def told(self) -> dict[str, Any]:
        """Return what a JSON answer says."""
        found: dict[str, Any] = json.loads(self._plain() or b"{}")
        return found

    def said(self) -> str:
        """Return what an answer says of an error."""
        text = self._plain().decode(errors="replace")
        with suppress(ValueError, LookupError, TypeError):
            text = str(json.loads(text)["error"]["message"])
        return text[:500]

    def _plain(self) -> bytes:
        return gzip.decompress(self.body) if self.headers.get("Content-Encoding") == "gzip" else self.body


class NoAnswer(Exception):
    """A request that was not answered, or could not be sent.

    Parameters
    ----------
    message
        What happened.
    hint
        What to do.
    again
        Whether it may be worth another try.
    """

    def __init__(self, message: str, hint: str = "", again: bool = False) -> None:
        self.hint, self.again = hint, again
        super().__init__(message)


class Service:
    """Google's service, or what stands in its place.

    Parameters
    ----------
    address
        Its url.
    session
        google-auth's session.
    """

    def __init__(self, address: str, session: Any) -> None:
        self.address, self._session = address, session

    def answer(self, request: Request, tries: int = 1 + len(PAUSES)) -> Answer:
        """Return the answer to a request; it is sent again when there is none, or one that says "later".

        Parameters
        ----------
        request
            What is sent.
        tries
            How often at most.

        Raises
        ------
        NoAnswer
            When there is none.
        """
        for pause in PAUSES[: tries - 1]:
            try:
                found = self._once(request)
                if found.status not in _TRY_AGAIN:
                    return found
            except NoAnswer as error:
                if not error.again:
                    raise
            time.sleep(pause * _chance.uniform(0.5, 1.5))
        return self._once(request)

    def _once(self, request: Request) -> Answer:
        from google.auth.exceptions import GoogleAuthError
        from requests import RequestException
        from urllib3.exceptions import HTTPError

        method, path, asked, headers, body = request
        url = f"{self.address}{path}" if path.startswith("/") else path
        try:
            with self._session.request(
                method,
                url,
                params={name: value for name, value in asked.items() if value},
                data=body,
                # As it is stored: else the service unpacks what was stored as gzip, and its size is another one.
                headers={"Accept-Encoding": "gzip", **headers},
                timeout=(_CONNECT_SECONDS, _READ_SECONDS),
                stream=True,
                allow_redirects=False,
            ) as found:
                data = found.raw.read(decode_content=False)
        except GoogleAuthError as error:
            raise NoAnswer(str(error), LOG_IN, error.retryable) from error
        except (RequestException, HTTPError) as error:
            raise NoAnswer(str(error), _REACH, again=True) from error
        size = found.headers.get("Content-Length", "")
        if size and len(data) != int(size):
            raise NoAnswer(f"{len(data)} of {size} bytes came back", _REACH, again=True)
        return Answer(found.status_code, found.headers, data)


_WHAT_COUNTS = (
    *("STORAGE_EMULATOR_HOST", "API_ENDPOINT_OVERRIDE", "GOOGLE_APPLICATION_CREDENTIALS"),
    *("GOOGLE_CLOUD_QUOTA_PROJECT", "CLOUDSDK_CONFIG"),
)
"""Environment variables that make another client when they change, as a notebook or a test may change them."""

_services: dict[tuple[str | None, ...], Service] = {}
_lock = threading.Lock()


def service() -> Service:
    """Return the service that the environment names.

    Raises
    ------
    NoAnswer
        When there are no credentials for it.
    ConfigError
        When what should be credentials is none.
    """
    name = luigi.configuration.get_config().get("GCSConfig", "gcs_credential_name", "GCS_CREDENTIAL")
    counts = (*map(os.environ.get, _WHAT_COUNTS), name, os.environ.get(name))
    found = _services.get(counts)
    if found is None:
        with _lock:
            found = _services.get(counts)
            if found is None:
                found = _services[counts] = _made(name)
    return found


def _made(name: str) -> Service:
    try:
        from google.auth.transport.requests import AuthorizedSession
        from google.cloud import storage
        from requests.adapters import HTTPAdapter
    except ImportError as error:
        raise ImportError("a workspace in GCS needs its client: pip install 'kart-runtime[gcs]'") from error
    credentials = _credentials(name)
    address = str(storage.Client("kart", credentials).api_endpoint).rstrip("/")
    session = AuthorizedSession(credentials)
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=_CONNECTIONS))
    return Service(address if "://" in address else f"http://{address}", session)


def _credentials(name: str) -> Any:
    import google.auth
    from google.auth.credentials import AnonymousCredentials
    from google.auth.exceptions import GoogleAuthError

    if os.environ.get("STORAGE_EMULATOR_HOST"):
        return AnonymousCredentials()
    text = os.environ.get(name, "").strip()
    if text:
        return _account(name, text)
    try:
        return google.auth.default(scopes=[_SCOPE])[0]
    except GoogleAuthError as error:
        raise NoAnswer(str(error), LOG_IN) from error


def _account(name: str, text: str) -> Any:
    from google.oauth2.service_account import Credentials

    try:
        if text.startswith("{"):
            return Credentials.from_service_account_info(json.loads(text), scopes=[_SCOPE])
        return Credentials.from_service_account_file(text, scopes=[_SCOPE])
    except (ValueError, OSError) as error:
        told = type(error).__name__  # and no more: the text, or a part of it, is a secret
        raise ConfigError(
            f"no service account can be read from it: {told}", key=name, expected="its JSON, or the path of that"
        ) from None


def _begin_in_child() -> None:
    """Forget the clients in a forked process: two processes must not speak through one connection."""
    global _lock
    _services.clear()
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_begin_in_child)
