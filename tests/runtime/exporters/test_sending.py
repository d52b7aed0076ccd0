"""A run is sent while it goes on, and a receiver that is slow, dead or mad changes neither its time nor its result."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from textwrap import dedent

import luigi
import pytest

from kart_runtime import BuildFailed, ConfigError, TaskOnKart, build
from kart_runtime.exporters import sending
from kart_runtime.task.parameters import SecretParameter
from tests.runtime.exporters.receivers import BAD, receiver

ADDRESSES = {
    "mlflow": "MLFLOW_TRACKING_URI",
    "openlineage": "OPENLINEAGE_URL",
    "otel": "OTEL_EXPORTER_OTLP_ENDPOINT",
    "webhook": "KART_WEBHOOK_URL",
}
"""Exporter to the variable that has its address."""


class Part(TaskOnKart[int]):
    number: int = luigi.IntParameter(default=0)

    def run(self):
        self.log_metric("size", self.number)
        self.dump(self.number)


class Whole(TaskOnKart[int]):
    fails: bool = luigi.BoolParameter(default=False)

    def requires(self):
        return [Part(number=number) for number in range(3)]

    def run(self):
        if self.fails:
            raise ValueError("it does not add up")
        self.log_metric("auc", 0.75)
        self.dump(sum(self.load()))


class Listening:
    """An exporter of a user: remembers what it gets."""

    got: list = []
    wait = threading.Event()

    def begin(self, run):
        self.got.append(("begin", run))

    def task(self, record):
        self.got.append(("task", record))

    def end(self, end):
        self.got.append(("end", end))


class Blocked(Listening):
    def task(self, record):
        self.wait.wait(20)


class Broken(Listening):
    def begin(self, run):
        raise SystemExit("an exporter must not end the program")

    def end(self, end):
        raise KeyboardInterrupt


class Unmakeable(Listening):
    def __init__(self):
        raise RuntimeError("no credentials")


class Flaky(Listening):
    left = 0

    def begin(self, run):
        if Flaky.left:
            Flaky.left -= 1
            raise ConnectionError("not yet")
        super().begin(run)


@pytest.fixture
def got():
    Listening.got = []
    Listening.wait.clear()
    yield Listening.got
    Listening.wait.set()


def own(cls):
    return f"{__name__}:{cls.__name__}"


def messages(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("how", BAD)
@pytest.mark.parametrize("name", ADDRESSES)
def test_a_bad_receiver_costs_two_lines_and_no_time(name, how, monkeypatch, caplog):
    monkeypatch.setattr(sending, "LAST_SECONDS", 0.5)
    with BAD[how]() as url:
        monkeypatch.setenv(ADDRESSES[name], url)
        begin = time.monotonic()
        assert build(Whole(), export=[name]) == 3
    # A library that is imported meanwhile takes its time on a busy machine; nobody waits for the receiver.
    assert time.monotonic() - begin < 8
    said = messages(caplog)
    assert len(said) <= 2, said
    assert said[-1].startswith(f"Not all of this run was sent to {name}. Send it with: kart export 2")
    assert said[-1].endswith(f" --to {name}")
    assert said[:-1] == [text for text in said[:-1] if text.startswith(f"Could not send to {name}: ")]


@pytest.mark.parametrize("how", ["dead", "hangs", "500"])
def test_the_error_of_a_task_stays_the_error_of_the_run(how, monkeypatch):
    monkeypatch.setattr(sending, "LAST_SECONDS", 0.3)
    with BAD[how]() as url:
        monkeypatch.setenv("KART_WEBHOOK_URL", url)
        with pytest.raises(BuildFailed, match="it does not add up"):
            build(Whole(fails=True), export=["webhook"])


@pytest.mark.parametrize(
    "options", [{}, {"executor": "threads", "workers": 2}, {"executor": "processes", "workers": 2}]
)
def test_every_executor_sends_the_same(options, got):
    assert build(Whole(), export=[own(Listening)], **options) == 3
    kinds = [kind for kind, _ in got]
    assert kinds == ["begin", *["task"] * 4, "end"]
    (_, header), *_, (_, last), (_, end) = got
    assert header["roots"] == [Whole().make_unique_id()]
    assert (last["task"], last["state"], last["metrics"]) == ("Whole", "done", {"auc": 0.75})
    assert last["requires"] == [Part(number=number).make_unique_id() for number in range(3)]
    assert (end["state"], end["ran"], end["failed"]) == ("done", 4, 0)


def test_a_run_with_nothing_to_do_is_told_too(got):
    build(Whole())
    assert got == []
    build(Whole(), export=own(Listening))
    assert [kind for kind, _ in got] == ["begin", "end"]
    assert (got[1][1]["ran"], got[1][1]["complete"]) == (0, 1)


def test_an_exporter_that_ends_the_program_ends_nothing(got, caplog):
    assert build(Whole(), export=[own(Broken), own(Listening)]) == 3
    assert [kind for kind, _ in got].count("end") == 1
    assert len([text for text in messages(caplog) if "Broken" in text]) == 2


def test_records_that_nobody_takes_do_not_fill_the_memory(got, monkeypatch, caplog):
    monkeypatch.setattr(sending, "MOST_WAITING", 2)
    monkeypatch.setattr(sending, "LAST_SECONDS", 0.2)
    assert build(Whole(), export=[own(Blocked)]) == 3
    assert messages(caplog)[-1].startswith("Not all of this run was sent to ")


def test_what_comes_late_is_still_sent(got, monkeypatch, caplog):
    threading.Timer(0.4, Listening.wait.set).start()
    assert build(Whole(), export=[own(Blocked)]) == 3
    assert [kind for kind, _ in got] == ["begin", "end"]
    assert messages(caplog) == []


class Login(TaskOnKart[str]):
    password: str = SecretParameter(default="tr0ub4dor")

    def run(self):
        raise ValueError(f"{self.password} is wrong")


def test_secrets_are_not_sent(got, monkeypatch):
    with receiver() as server:
        monkeypatch.setenv("KART_WEBHOOK_URL", server.url)
        with pytest.raises(BuildFailed):
            build(Login(), export=[own(Listening), "webhook"])
    assert "tr0ub4dor" not in repr(got)
    assert [body["state"] for body in server.bodies] == ["failed"]
    assert "tr0ub4dor" not in repr(server.requests)
    assert "*** is wrong" in repr(server.requests)


# -- what is said before anything runs ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "why"),
    [
        (
            "mlfow",
            r"unknown exporter 'mlfow'; did you mean 'mlflow'\? \(expected one of mlflow, openlineage, otel, webh",
        ),
        ("", "unknown exporter ''"),
        ("my package:Class", "unknown exporter 'my package:Class'"),
        ("no_such_package.sending:Ours", "there is no module no_such_package"),
        ("tests.runtime.exporters.no_such:Ours", r"there is no module tests\.runtime\.exporters\.no_such"),
        (f"{__name__}:Listenin", "has no Listenin.* Did you mean 'Listening'"),
        (f"{__name__}:Part", r"is no exporter: it has no begin\(\) and no task\(\) and no end\(\)"),
        (f"{__name__}:own", "is no exporter"),
    ],
)
def test_a_wrong_name_is_an_error_before_anything_runs(name, why):
    with pytest.raises(ConfigError, match=why):
        build(Whole(), export=[name])
    assert not Path("resources").exists()


@pytest.mark.parametrize("value", [3, [3], {"mlflow": True}, None])
def test_a_value_that_names_nothing_is_an_error(value):
    with pytest.raises(ConfigError, match="expected a list of exporters, for example"):
        build(Whole(), export=value)


@pytest.mark.parametrize("name", ["mlflow", "openlineage", "webhook"])
def test_without_an_address_the_run_goes_on(name, caplog, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert build(Whole(), export=[name]) == 3
    (said,) = messages(caplog)
    assert said.startswith(f"The run is not exported: the exporter {name} has no address: set {ADDRESSES[name]}")
    assert said.endswith(f"Send it afterwards with: kart export RUN --to {name}")


@pytest.mark.parametrize("address", ["ftp://host/x", "hooks.example.com", "http://", "http://host:port", "http://[::1"])
@pytest.mark.parametrize("name", ["mlflow", "webhook"])
def test_what_is_no_address_is_said_at_the_beginning(name, address, caplog, monkeypatch):
    monkeypatch.setenv(ADDRESSES[name], address)
    assert build(Whole(), export=[name]) == 3
    (said,) = messages(caplog)
    assert f"{ADDRESSES[name]} is no address" in said


@pytest.mark.parametrize(("name", "library"), [("otel", "opentelemetry"), ("openlineage", "openlineage")])
def test_without_its_library_the_run_goes_on(name, library, caplog, monkeypatch):
    monkeypatch.setenv(ADDRESSES[name], "http://127.0.0.1:1")
    for module in [module for module in sys.modules if module.partition(".")[0] == library]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, library, None)
    assert build(Whole(), export=[name]) == 3
    (said,) = messages(caplog)
    assert f"the exporter {name} needs {library}. Write kart-runtime[{name}] into the dependencies" in said


def test_a_class_that_cannot_be_made_is_a_receiver_that_fails(caplog):
    assert build(Whole(), export=[own(Unmakeable)]) == 3
    first, second = messages(caplog)
    assert f"Could not send to {own(Unmakeable)}: RuntimeError: no credentials. The run goes on" in first
    assert "Send it with: kart export 2" in second


def test_what_failed_at_the_beginning_is_tried_again(got, caplog):
    Flaky.left = 2
    assert build(Whole(), export=[own(Flaky)]) == 3
    assert [kind for kind, _ in got] == ["begin", "task", "task", "task", "end"]
    assert messages(caplog)[-1].startswith("Not all of this run was sent")


# -- the end of a program ----------------------------------------------------------------------------------------------

PROGRAM = """
    import logging, time
    from kart_runtime import TaskOnKart, build

    class One(TaskOnKart[int]):
        def run(self):
            pass
            self.dump(1)

    if __name__ == "__main__":
        logging.basicConfig(level=logging.INFO)
        begin = time.monotonic()
        print(build(One(), export=["webhook"]), f"{time.monotonic() - begin:.1f}", flush=True)
"""


@pytest.fixture(params=[""])
def hanging_program(tmp_path, request):
    """A program whose receiver accepts its message, and never answers."""
    (tmp_path / "program.py").write_text(dedent(PROGRAM).replace("pass", request.param or "pass"))
    with BAD["hangs"]() as url:
        environment = {**os.environ, "KART_WEBHOOK_URL": url}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with subprocess.Popen([sys.executable, "program.py"], env=environment, **pipes) as process:
            yield process
            process.kill()


@pytest.mark.skipif(sys.platform == "win32", reason="there a program cannot be sent Ctrl-C")
def test_ctrl_c_ends_the_wait_and_nothing_else(hanging_program):
    for line in hanging_program.stderr:
        if "Waiting at most" in line:
            break
    hanging_program.send_signal(signal.SIGINT)
    begin = time.monotonic()
    out, err = hanging_program.communicate(timeout=30)
    assert time.monotonic() - begin < 5
    assert hanging_program.returncode == 0, err
    assert out.split()[0] == "1"
    assert "Not all of this run was sent to webhook. Send it with: kart export 2" in err
    assert "Traceback" not in err


@pytest.mark.skipif(sys.platform == "win32", reason="there a program cannot be sent Ctrl-C")
@pytest.mark.parametrize("hanging_program", ["print('running', flush=True), time.sleep(60)"], indirect=True)
def test_ctrl_c_while_a_task_runs_ends_soon(hanging_program):
    assert hanging_program.stdout.readline() == "running\n"
    hanging_program.send_signal(signal.SIGINT)
    begin = time.monotonic()
    _, err = hanging_program.communicate(timeout=30)
    assert time.monotonic() - begin < 8
    assert hanging_program.returncode != 0
    assert "KeyboardInterrupt" in err
    assert "Send it with: kart export 2" in err


@pytest.mark.slow
def test_a_receiver_that_never_answers_is_waited_for_ten_seconds(hanging_program):
    out, err = hanging_program.communicate(timeout=60)
    assert hanging_program.returncode == 0, err
    value, seconds = out.split()
    assert value == "1"
    assert float(seconds) < 13
    assert "Traceback" not in err
