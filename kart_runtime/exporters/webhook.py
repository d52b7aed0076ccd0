"""Exporter to a webhook: one POST when a run has ended, as JSON, or as a message for Slack."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Mapping
from typing import Any

from kart_runtime.errors.secrets import note_secret
from kart_runtime.exporters.base import ExporterNotReady
from kart_runtime.exporters.http_calls import address_of, call
from kart_runtime.exporters.record_values import short_name

FORMAT = 1
"""Version of the body. Later ones only add keys."""

_MOST = 20
"""Failed tasks, and tasks with metrics, that the body names."""

_HEADER_KEYS = ("run", "label", "env", "host", "command", "workspace", "folder", "started", "overrides", "sweep")
_END_KEYS = ("state", "seconds", "total", "ran", "complete", "not_needed", "failed", "missing", "not_started", "git")


class WebhookExporter:
    """Sender of one message a run to `$KART_WEBHOOK_URL`, signed with `$KART_WEBHOOK_SECRET` if that is set.

    The message is for Slack if the host is hooks.slack.com, or if `$KART_WEBHOOK_FORMAT` is `slack`.
    """

    def __init__(self) -> None:
        url = os.environ.get("KART_WEBHOOK_URL", "").strip()
        self._secret = os.environ.get("KART_WEBHOOK_SECRET", "")
        kind = os.environ.get("KART_WEBHOOK_FORMAT", "")
        note_secret(self._secret)
        if not url:
            raise ExporterNotReady("the exporter webhook has no address: set KART_WEBHOOK_URL")
        try:
            self._address = address_of(url)
        except ValueError as error:
            raise ExporterNotReady(f"KART_WEBHOOK_URL is no address: {error}") from error
        if kind not in ("", "json", "slack"):
            raise ExporterNotReady(f"KART_WEBHOOK_FORMAT is '{kind}': expected json or slack")
        self._is_slack = kind == "slack" or (not kind and self._address.host == "hooks.slack.com")
        self._sent = ""
        self.begin({})

    def begin(self, run: Mapping[str, Any]) -> None:
        """Keep the header of the run."""
        self._run = run
        self._errors: dict[str, str] = {}
        self._metrics: dict[str, Mapping[str, Any]] = {}

    def task(self, record: Mapping[str, Any]) -> None:
        """Keep what failed, and what was measured."""
        name = short_name(record)
        self._errors.pop(name, None)  # a try that failed, before this one
        if record["state"] == "failed":
            self._errors[name] = record.get("error", "")
        elif record.get("metrics"):
            self._metrics[name] = record["metrics"]

    def end(self, end: Mapping[str, Any]) -> None:
        """Send the message."""
        body = self._body(end)
        if self._is_slack:
            body = {"text": _slack_text(body)}
        self._post(json.dumps(body).encode(), str(end.get("state", "")))
        self._sent = f"1 message (state {end.get('state')}) to {self._address.host}"

    def sent(self) -> str:
        """Return what was sent."""
        return self._sent

    def _body(self, end: Mapping[str, Any]) -> dict[str, Any]:
        errors = [{"task": name, "error": error} for name, error in list(self._errors.items())[:_MOST]]
        # The last ones: what is downstream of the others, and nearest to what was asked for.
        metrics = dict(list(self._metrics.items())[-_MOST:])
        body: dict[str, Any] = {"format": FORMAT}
        body |= {key: self._run[key] for key in _HEADER_KEYS if key in self._run}
        body |= {key: end[key] for key in _END_KEYS if key in end}
        body |= {"ended": end.get("end", ""), "errors": errors, "metrics": metrics}
        return body | {"text": _text(body)}

    def _post(self, data: bytes, state: str) -> None:
        headers = {
            **self._address.headers,
            "Content-Type": "application/json",
            "Idempotency-Key": f"{self._run.get('run', '')}-{state}",
        }
        if self._secret:
            digest = hmac.new(self._secret.encode(), data, hashlib.sha256).hexdigest()
            headers["X-Kart-Signature-256"] = f"sha256={digest}"
        try:
            call("POST", self._address.url, data, headers, again_after_silence=False)
        except ConnectionError as error:
            raise ConnectionError(f"{self._address.host} did not take the message: {error}") from error


def _text(body: Mapping[str, Any]) -> str:
    """Return the result in one line."""
    words = [f"{body[key]} {word}" for key, word in _COUNTED if body.get(key)]
    asked = " ".join([*_words(body.get("command")), *([f"label={body['label']}"] if body.get("label") else [])])
    seconds = f" in {body['seconds']:.1f} s" if isinstance(body.get("seconds"), int | float) else ""
    counts = ", ".join(words) or "nothing to run"
    return f"{asked}: {body.get('state', 'unknown')} on {body.get('host', '?')}{seconds} ({counts})"


_COUNTED = (
    ("ran", "ran"),
    ("complete", "already complete"),
    ("failed", "failed"),
    ("missing", "missing"),
    ("not_started", "not started"),
)


def _words(command: Any) -> list[str]:
    """Return a command line without the folder of its program."""
    words = [str(word) for word in command] if isinstance(command, list) else []
    return [words[0].replace("\\", "/").rpartition("/")[2] or "kart", *words[1:]] if words else ["kart"]


_MARKS = {"done": ":white_check_mark:", "failed": ":x:", "interrupted": ":warning:"}


def _slack_text(body: Mapping[str, Any]) -> str:
    """Return the result as a message for Slack."""
    lines = [f"{_MARKS.get(body.get('state', ''), '')} {_escaped(body['text'])}"]
    lines += [f"• {_escaped(each['task'])}: {_escaped(each['error'].partition(chr(10))[0])}" for each in body["errors"]]
    for name, metrics in body["metrics"].items():
        numbers = ", ".join(f"{key} {_number(value)}" for key, value in list(metrics.items())[:_MOST])
        lines.append(f"• {_escaped(name)}: {_escaped(numbers)}")
    return "\n".join([*lines, f"run {body.get('run', '')}"])


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _escaped(text: str) -> str:
    return text[:500].replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
