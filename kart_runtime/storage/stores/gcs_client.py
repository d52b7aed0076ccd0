"""Google's client for GCS: where it finds service and credentials, its time limits and its retries."""

from __future__ import annotations

import json
import os
import threading
from functools import cache
from typing import Any

import luigi

from kart_runtime.errors import ConfigError, require_extra
from kart_runtime.storage.stores import upload
from kart_runtime.storage.stores.clients import Clients
from kart_runtime.storage.time_limits import time_limits

NEEDED = ("a workspace in GCS needs google-cloud-storage", "gcs")

SERVICE = "gcs"
"""Name of the service whose silence is remembered."""

_CONNECTIONS = 64
_SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"

_clients = Clients(
    *("STORAGE_EMULATOR_HOST", "API_ENDPOINT_OVERRIDE", "GOOGLE_APPLICATION_CREDENTIALS"),
    *("GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_QUOTA_PROJECT", "CLOUDSDK_CONFIG"),
)


class _Sent(threading.local):
    count = 0


_sent = _Sent()


def requests_sent() -> int:
    """Return how many requests this thread has sent: more than one for an operation means that it was retried."""
    return _sent.count


def retries() -> dict[str, Any]:
    """Return the time-outs and retries of each request."""
    from google.cloud.storage.retry import DEFAULT_RETRY

    limits = time_limits(SERVICE)
    retry = DEFAULT_RETRY.with_timeout(limits.tries).with_delay(initial=limits.total / 300, maximum=limits.total / 30)
    return {"timeout": time_outs(), "retry": retry}


def time_outs() -> tuple[float, float]:
    """Return the seconds for connecting, and those of silence after which a try has failed."""
    limits = time_limits(SERVICE)
    return limits.connect, limits.silence


@cache
def writer() -> type[Any]:
    """Return the class that writes a resumable upload."""
    from google.cloud.storage.fileio import BlobWriter

    class Writer(BlobWriter):  # type: ignore[misc]
        def __del__(self) -> None:
            """Do nothing: closing, as any other file does, would store what is half written."""

    return Writer


def abort(writer: Any) -> None:
    """Abort a resumable upload; the writer's own `terminate()` does not name the upload in its request (3.17)."""
    session = getattr(writer, "_upload_and_transport", None)
    if session is not None:
        upload, transport = session
        transport.delete(upload.resumable_url, timeout=time_outs())


@cache
def _adapter() -> type[Any]:
    from requests.adapters import HTTPAdapter

    class Adapter(HTTPAdapter):
        """Sends a request's bytes in blocks, each of which has the time of one silence, and counts requests."""

        def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:
            """Send a request."""
            _sent.count += 1
            if request.body and isinstance(request.body, bytes):
                request.body = upload.in_blocks(request.body)
            return super().send(request, *args, **kwargs)

    return Adapter


def client() -> Any:
    """Return Google's client."""
    name = luigi.configuration.get_config().get("GCSConfig", "gcs_credential_name", "GCS_CREDENTIAL")
    return _clients.get(_make_client, name, os.environ.get(name))


def token_address() -> str:
    """Return the address of the server that gives tokens, "" if the client needs none or does not tell."""
    credentials = client()._credentials
    return str(getattr(credentials, "token_uri", None) or getattr(credentials, "_token_uri", None) or "")


def _make_client(name: str, account: str | None) -> Any:
    with require_extra(*NEEDED):
        from google.auth.transport.requests import AuthorizedSession
        from google.cloud import storage
    # For traces that nobody collects, the client would request the metadata of each bucket.
    os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")
    credentials = _credentials(name, (account or "").strip())
    session = AuthorizedSession(credentials)
    session.hooks["response"].append(_read_refusal)
    for scheme in ("https://", "http://"):
        session.mount(scheme, _adapter()(pool_maxsize=_CONNECTIONS))
    # Requests name buckets and objects only, which need no project.
    project = os.environ.get("GOOGLE_CLOUD_PROJECT") or "kart"
    emulator = os.environ.get("STORAGE_EMULATOR_HOST", "")
    options = {"api_endpoint": f"http://{emulator}"} if emulator and "://" not in emulator else None
    return storage.Client(project, credentials, _http=session, client_options=options)


def _read_refusal(response: Any, **_: Any) -> None:
    """Read a refusal to its end: the client does not, so its connection could not be used again."""
    if response.status_code >= 300:
        response.content  # noqa: B018 - reads it


def _credentials(name: str, account: str) -> Any:
    import google.auth
    from google.auth.credentials import AnonymousCredentials
    from google.oauth2.service_account import Credentials

    if os.environ.get("STORAGE_EMULATOR_HOST"):
        return AnonymousCredentials()
    if not account:
        return google.auth.default(scopes=[_SCOPE])[0]
    try:
        if account.startswith("{"):
            return Credentials.from_service_account_info(json.loads(account), scopes=[_SCOPE])
        return Credentials.from_service_account_file(account, scopes=[_SCOPE])
    except (ValueError, OSError) as error:
        reason = type(error).__name__  # and no more: the text contains secrets
        message = f"no service account can be read from it: {reason}"
        raise ConfigError(message, key=name, expected="its JSON, or the path of that") from None
