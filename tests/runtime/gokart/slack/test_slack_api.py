"""Slack is told by real calls, here of a server on this machine that answers as Slack does."""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import luigi
import pytest

from kart_runtime import TaskOnKart
from kart_runtime.execution.attempt import Attempt
from kart_runtime.gokart.slack import EventAggregator, SlackAPI, SlackConfig

CHANNELS = {"": ([{"id": "C1", "name": "random"}], "next"), "next": ([{"id": "C2", "name": "reports"}], "")}


class Slack(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        method = self.path.rpartition("/")[2]
        self.server.calls.append((method, dict(self.headers), body))
        known = self.server.answers
        answer = known[method] if method in known else self.answer(method, body)
        if isinstance(answer, int):
            self.send_error(answer)
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(answer if isinstance(answer, bytes) else json.dumps(answer).encode())

    def answer(self, method, body):
        if method == "conversations.list":
            channels, cursor = CHANNELS[parse_qs(body.decode()).get("cursor", [""])[0]]
            return {"ok": True, "channels": channels, "response_metadata": {"next_cursor": cursor}}
        if method == "files.getUploadURLExternal":
            return {"ok": True, "upload_url": f"http://127.0.0.1:{self.server.server_port}/upload", "file_id": "F1"}
        return {"ok": True}

    def log_message(self, *_args):
        pass


@pytest.fixture
def slack(monkeypatch):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Slack)
    server.calls, server.answers = [], {}
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("SLACK_API_URL", f"http://127.0.0.1:{server.server_port}/api")
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def called(server):
    return [method for method, _, _ in server.calls]


def fields(server, method):
    found = next(body for name, _, body in server.calls if name == method)
    return {name: values[0] for name, values in parse_qs(found.decode()).items()}


def test_a_file_is_sent_to_the_channel_in_slacks_three_steps(slack, caplog):
    SlackAPI("secret", "reports", "me").send_snippet("Done", "event.txt", "näh")
    assert called(slack) == [
        "conversations.list",
        "conversations.list",
        "files.getUploadURLExternal",
        "upload",
        "files.completeUploadExternal",
    ]
    assert fields(slack, "conversations.list") == {"exclude_archived": "1", "limit": "100"}
    assert fields(slack, "files.getUploadURLExternal") == {"filename": "event.txt", "length": "4"}
    done = fields(slack, "files.completeUploadExternal")
    assert done["channel_id"] == "C2"
    assert done["initial_comment"] == "<@me> Done"
    assert json.loads(done["files"]) == [{"id": "F1", "title": "event.txt"}]
    for method, headers, body in slack.calls:
        assert headers.get("Authorization") == (None if method == "upload" else "Bearer secret")
        assert method != "upload" or body == "näh".encode()
    assert not caplog.records


@pytest.mark.parametrize(("user", "comment"), [("", "Done"), ("@me", "<@me> Done")])
def test_who_is_mentioned(slack, user, comment):
    SlackAPI("secret", "random", user).send_snippet("Done", "t", "c")
    assert fields(slack, "files.completeUploadExternal")["initial_comment"] == comment


@pytest.mark.parametrize(
    ("method", "answer", "message"),
    [
        ("conversations.list", {"ok": False, "error": "invalid_auth"}, "invalid_auth"),
        ("conversations.list", {"ok": True, "channels": []}, "no public channel 'reports'"),
        ("conversations.list", 503, "503"),
        ("conversations.list", b"<html>", "non-JSON"),
        ("conversations.list", [], "responded with: []"),
        ("files.getUploadURLExternal", {"ok": False, "error": "missing_scope"}, "missing_scope"),
        (
            "files.getUploadURLExternal",
            {"ok": True, "upload_url": "file:///a", "file_id": "F"},
            "not an http or https address",
        ),
        ("files.getUploadURLExternal", {"ok": True}, "upload_url"),
        ("upload", 500, "500"),
        ("files.completeUploadExternal", {"ok": False}, "'ok': False"),
    ],
)
def test_what_goes_wrong_is_a_warning(slack, caplog, method, answer, message):
    slack.answers[method] = answer
    SlackAPI("secret", "reports", "").send_snippet("Done", "t", "c")
    assert message in caplog.text
    assert "secret" not in caplog.text
    if method == "conversations.list":
        assert "files.getUploadURLExternal" not in called(slack)


def test_a_list_without_an_end_is_given_up(slack, caplog):
    slack.answers["conversations.list"] = {"ok": True, "channels": [], "response_metadata": {"next_cursor": "next"}}
    SlackAPI("secret", "reports", "")
    assert called(slack) == ["conversations.list"] * 200
    assert "200 pages" in caplog.text


def test_nobody_answers(caplog):
    SlackAPI("secret", "reports", "", base_url="http://127.0.0.1:1/", timeout=2).send_snippet("Done", "t", "c")
    assert "continues without" in caplog.text


def test_where_to_report_is_luigis_configuration():
    assert SlackConfig().token_name == "SLACK_TOKEN"
    luigi.configuration.get_config().set("SlackConfig", "channel", "reports")
    assert SlackConfig().channel == "reports"
    assert SlackConfig().send_tree_info is False


class Fails(TaskOnKart[int]):
    number = luigi.IntParameter(default=0)

    def run(self):
        if not self.number:
            raise ValueError("nought")
        self.dump(self.number)


def test_events_are_collected_until_the_handlers_are_removed():
    with EventAggregator() as events:
        assert events.get_event_list() == "Tasks were not executed."
        Attempt(Fails()).run()
        Attempt(Fails(number=1)).run()
    Attempt(Fails(number=2)).run()
    assert events.get_summary() == "Success: 1; Failure: 1"
    assert events.get_event_list().splitlines() == [
        "---- Failure Tasks ----",
        f"Task: Fails:[{Fails().make_unique_id()}]; Exception: nought",
        "---- Success Tasks ----",
        f"Fails:[{Fails(number=1).make_unique_id()}]",
    ]


def test_handlers_do_not_pile_up():
    before = {event: set(found) for event, found in luigi.Task._event_callbacks.get(luigi.Task, {}).items()}
    for _time in range(3):
        events = EventAggregator()
        events.set_handlers()
        events.remove_handlers()
    after = luigi.Task._event_callbacks[luigi.Task]
    assert {event: found for event, found in after.items() if found} == {
        event: found for event, found in before.items() if found
    }


def test_tasks_of_other_processes_are_added_once():
    class Plain(luigi.Task):
        pass

    events = EventAggregator()
    events.add([Fails(number=1), Plain()], [Fails()])
    events.add([Fails(number=1)])
    assert events.get_summary() == "Success: 2; Failure: 1"
    assert Plain().task_id in events.get_event_list()


def test_a_service_that_is_too_slow_delays_a_run_by_one_timeout(caplog):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        before = time.monotonic()
        SlackAPI("secret", "reports", "", f"http://127.0.0.1:{silent.getsockname()[1]}/", 0.5).send_snippet(
            "a", "b", "c"
        )
    assert time.monotonic() - before < 5
    assert "continues without a report to Slack: timed out" in caplog.text


def test_without_the_library_the_warning_says_what_to_install(slack, caplog, monkeypatch):
    monkeypatch.setitem(sys.modules, "slack_sdk", None)
    SlackAPI("secret", "reports", "").send_snippet("Done", "t", "c")
    assert "Write kart-runtime[slack] into" in caplog.text
    assert called(slack) == []
