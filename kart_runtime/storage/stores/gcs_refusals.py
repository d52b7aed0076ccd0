"""What the refusals of GCS mean, and what to do: which right is missing, for what, and what else may be wrong."""

from __future__ import annotations

import json
import re
from contextlib import suppress

LOG_IN = "Check the credentials: GOOGLE_APPLICATION_CREDENTIALS, gcloud auth application-default login."
REACH = (
    "Check that this machine can reach the service, and that STORAGE_EMULATOR_HOST is right if it is set; "
    "`run.network_timeout` says how long to wait for it."
)
NOT_GCS = "Is a proxy or a login page in between? Else check STORAGE_EMULATOR_HOST, if it is set."
_TOKENS = ("google.oauth2", "google.auth.compute_engine", "google.auth.external_account", "google.auth.impersonated")
"""Modules that ask for tokens."""

_HINTS = {401: LOG_IN, 404: "Create the bucket, or correct the workspace's url."}
_DENIED = 403

_RIGHTS = {
    **dict.fromkeys(("look for", "read"), "storage.objects.get"),
    "write": "storage.objects.create, or storage.objects.delete where an object is replaced,",
    "copy": "storage.objects.get there, or storage.objects.create for the copy,",
    "list": "storage.objects.list",
    "delete": "storage.objects.delete",
}
_TOLD = re.compile(r"\bstorage\.[a-zA-Z]+\.[a-zA-Z]+\b")
"""What the service says itself."""


def hint_for(error: Exception, what: str, url: str) -> str:
    """Return what to do about an error of Google's client; `what` is the operation as a verb."""
    status = status_of(error)
    if status == _DENIED:
        told = _TOLD.search(message_of(error))
        right = told[0] if told else _RIGHTS.get(what, "storage.objects.*")
        on = url.removeprefix("gs://").partition("/")[0] if what == "list" else url
        return (
            f"The credentials lack the right {right} on {on}: allow it, for example by the role Storage Object User, "
            "or use others (GOOGLE_APPLICATION_CREDENTIALS)."
        )
    return _HINTS.get(status, "") if status else REACH


def is_about_token(error: BaseException) -> bool:
    """Return whether an error, or that of the last retry, came while a token was asked for."""
    cause = getattr(error, "cause", None)
    each = (cause if isinstance(cause, Exception) else error).__traceback__
    while each is not None:
        if str(each.tb_frame.f_globals.get("__name__", "")).startswith(_TOKENS):
            return True
        each = each.tb_next
    return False


def token_hint(address: str) -> str:
    """Return what to do where no token came."""
    where = f" {address}" if address else " the server"
    return f"Check that this machine can reach{where}, which gives tokens, with no proxy or login page. {LOG_IN}"


def status_of(error: BaseException | None) -> int:
    """Return the status of the answer, 0 if there was none."""
    code = getattr(error, "code", None) or getattr(getattr(error, "response", None), "status_code", None)
    cause = getattr(error, "cause", None)
    if not code and isinstance(cause, Exception):  # that of the last retry
        return status_of(cause)
    return int(code or 0)


def message_of(error: Exception) -> str:
    """Return the service's message, which some of the client's errors have only in their response or cause."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, Exception):  # that of the last retry
        return message_of(cause)
    text = getattr(getattr(error, "response", None), "text", "")
    with suppress(ValueError, LookupError, TypeError):
        text = str(json.loads(text)["error"]["message"])
    return (text or str(getattr(error, "message", "") or error))[:500]
