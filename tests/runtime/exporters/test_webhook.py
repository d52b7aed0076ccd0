"""A webhook gets one signed message a run, and Slack one that it can show."""

from __future__ import annotations

import hashlib
import hmac
import json

import pytest

from kart_runtime.exporters import http_calls
from kart_runtime.exporters.webhook import WebhookExporter
from kart_runtime.history.run_header import RunInfo
from tests.runtime.exporters.pipeline import Compare, Train, run, send
from tests.runtime.exporters.receivers import BAD, receiver


@pytest.fixture
def hook(monkeypatch):
    with receiver() as server:
        monkeypatch.setenv("KART_WEBHOOK_URL", f"{server.url}/hooks/7?key=a")
        yield server


def short(task):
    return f"{type(task).__name__}[{task.make_unique_id()[:8]}]"


def test_one_message_says_what_came_out(hook):
    recorded = run("webhook", info=RunInfo(env="dev", label="nightly", overrides={"tasks.m.Train.depth": "3"}))
    ((path, headers, data),) = hook.requests
    body = json.loads(data)
    assert path == "/hooks/7?key=a"
    assert headers["Content-Type"] == "application/json"
    assert headers["Idempotency-Key"] == f"{recorded.id}-done"
    assert "X-Kart-Signature-256" not in headers
    assert (body["format"], body["run"], body["state"], body["label"]) == (1, recorded.id, "done", "nightly")
    assert (body["ran"], body["failed"], body["errors"]) == (4, 0, [])
    assert body["overrides"] == {"tasks.m.Train.depth": "3"}
    assert body["metrics"][short(Train(depth=3))] == {"loss": 0.25, "auc": 0.8, "gap": "nan", "most": "inf"}
    assert body["ended"] >= body["started"]
    assert ": done on " in body["text"]
    assert "(4 ran)" in body["text"]


def test_a_failure_is_named(hook):
    run("webhook", fails=True)
    (body,) = hook.bodies
    assert body["state"] == "failed"
    assert body["errors"] == [{"task": short(Compare(fails=True)), "error": "ValueError: no <winner> & no loser"}]
    assert (body["ran"], body["failed"]) == (3, 1)


def test_the_message_is_signed(hook, monkeypatch):
    monkeypatch.setenv("KART_WEBHOOK_SECRET", "between us")
    run("webhook")
    ((_, headers, data),) = hook.requests
    expected = hmac.new(b"between us", data, hashlib.sha256).hexdigest()
    assert headers["X-Kart-Signature-256"] == f"sha256={expected}"


def test_slack_gets_text_that_it_can_show(hook, monkeypatch):
    monkeypatch.setenv("KART_WEBHOOK_FORMAT", "slack")
    run("webhook", fails=True)
    (body,) = hook.bodies
    assert list(body) == ["text"]
    first, *rest = body["text"].splitlines()
    assert first.startswith(":x: ")
    assert f"• {short(Compare(fails=True))}: ValueError: no &lt;winner&gt; &amp; no loser" in rest
    assert any(line.startswith(f"• {short(Train(depth=2))}: loss 0.25, auc 0.7") for line in rest)


def test_slack_is_known_by_its_address(monkeypatch):
    monkeypatch.setenv("KART_WEBHOOK_URL", "https://hooks.slack.com/services/T0/B0/xyz")
    assert WebhookExporter()._is_slack
    monkeypatch.setenv("KART_WEBHOOK_FORMAT", "json")
    assert not WebhookExporter()._is_slack


def test_it_is_sent_again_afterwards(hook):
    run("webhook")
    assert send(WebhookExporter()).startswith("1 message (state done) to 127.0.0.1:")
    first, second = hook.bodies
    assert first == second


@pytest.mark.parametrize(("answers", "tries"), [([500, 503, 200], 3), ([429, 204], 2), ([201], 1)])
def test_what_may_pass_is_tried_three_times(answers, tries, monkeypatch):
    left = list(answers)
    with receiver(lambda _path, _body: left.pop(0)) as server:
        monkeypatch.setenv("KART_WEBHOOK_URL", server.url)
        run()
        send(WebhookExporter())
        assert len(server.requests) == tries


@pytest.mark.parametrize(("status", "tries"), [(500, 3), (400, 1), (401, 1), (404, 1), (302, 1)])
def test_what_was_not_taken_is_said(status, tries, monkeypatch):
    with receiver(lambda _path, _body: (status, b"wrong token")) as server:
        monkeypatch.setenv("KART_WEBHOOK_URL", f"{server.url}/secret-path")
        run()
        with pytest.raises(
            ConnectionError, match=rf"^127\.0\.0\.1:\d+ did not take the message: HTTP {status}"
        ) as caught:
            send(WebhookExporter())
        assert len(server.requests) == tries
    assert "secret-path" not in str(caught.value)


def test_a_receiver_that_is_silent_may_have_the_message(monkeypatch):
    monkeypatch.setattr(http_calls, "SECONDS", 0.2)
    with BAD["hangs"]() as url:
        monkeypatch.setenv("KART_WEBHOOK_URL", url)
        run()
        with pytest.raises(ConnectionError, match="no answer within"):
            send(WebhookExporter())
