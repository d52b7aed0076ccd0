"""Table of sources of secrets and of places where text is kept or shown: none of these has one of those, in any form.

The same pipeline, with masking by value switched off, finds a secret in each of these places: else a place that never
got one would pass.
"""

from __future__ import annotations

import base64
import json
import pickle
import re
import sys
from pathlib import Path
from urllib.parse import quote

import pytest

from kart_runtime.cli import main
from kart_runtime.errors import secrets
from kart_runtime.errors.secret_sources import note_environment

ODD = 'q"u\\o/t&e <ü> %41'
"""Characters that each way of writing escapes in its own way."""

SOURCES = {
    "oc.env": "env-ref-5d1f",
    "oc.env, odd characters": f"odd-77aa{ODD}",
    "oc.select": "selected-81c2",
    "oc.decode": "decoded-93e4",
    "resolver": "vault-a4b5c6d7",
    "shared": "shared-c0ffee11",
    ".env": "dotenv-11aa22bb",
    ".env by name": "hunter2",
    "environment": "by-name-3344cc",
    "command line": "typed-5566dd77",
    "hidden": "hidden-7788ee99",
    "hidden number": "918273645546",
    "private": "private-99aa00bb",
    "secret parameter": "declared-aabb1122",
    "SecretStr": "secretstr-bbcc2233",
    "redis": "redispw-ccdd3344",
    "aws": "wJalrXUtnFEMI/K7MDENG+bPxRfiCY",
    "gcs": "gcs-private-key-ddee4455",
    "signing key": "kart-signing-eeff5566",
    "webhook": "B0WEBHOOKPATHff001122",
}

TASKS = """
    import base64
    import logging
    import sys
    import warnings
    from urllib.parse import quote

    import luigi
    from luigi.parameter import ParameterVisibility
    from omegaconf import OmegaConf

    from kart_runtime import ListTaskInstanceParameter, SecretParameter, TaskInstanceParameter, TaskOnKart

    if not OmegaConf.has_resolver("vault"):
        register = getattr(OmegaConf, "register_resolver", None) or OmegaConf.register_new_resolver
        register("vault", lambda name: "vault-" + name)


    class SecretStr:
        def __init__(self, value):
            self._value = value

        def get_secret_value(self):
            return self._value

        def __str__(self):
            return "**********"


    class Upstream(TaskOnKart[int]):
        hidden: str = luigi.Parameter(default="hidden-7788ee99", visibility=ParameterVisibility.HIDDEN)
        number: int = luigi.IntParameter(default=918273645546, visibility=ParameterVisibility.HIDDEN)
        copy: str = luigi.Parameter(default="with declared-aabb1122")
        pin: int = luigi.IntParameter(default=4711, visibility=ParameterVisibility.HIDDEN)
        private: str = luigi.Parameter(default="private-99aa00bb", visibility=ParameterVisibility.PRIVATE)
        wrapped = luigi.Parameter(default=SecretStr("secretstr-bbcc2233"), visibility=ParameterVisibility.PRIVATE)

        def run(self):
            self.dump(1)


    class Passed(TaskOnKart[int]):
        text: str = luigi.Parameter()
        url: str = luigi.Parameter()
        items = luigi.ListParameter()
        map = luigi.DictParameter()
        held = TaskInstanceParameter(default=Upstream)
        holds = ListTaskInstanceParameter(default=[Upstream])
        message: str = luigi.Parameter(significant=False)

        def run(self):
            log = logging.getLogger("passed")
            log.warning("message %s", self.message, extra={"extra": self.message, "more": {"a": [self.message]}})
            log.debug("to %s", self.url)
            self.task_log["seen"] = [self.message]
            for value in self.items[:1]:
                self.log_metric(value, 1.0)
                self.log_metric(value + "-step", 1.0, step=1)
            print_warning(self.message)
            self.dump(1)


    class Fails(TaskOnKart[int]):
        message: str = luigi.Parameter(significant=False)
        up = TaskInstanceParameter()

        def run(self):
            try:
                raise KeyError(self.message)
            except KeyError as error:
                error.add_note(self.message)
                raise ExceptionGroup(self.message, [ValueError(self.message)]) from error


    def print_warning(text):
        sys.stderr.write(warnings.formatwarning(text, UserWarning, "sinks.py", 1))  # as Python prints it


    class Source(TaskOnKart[int]):
        env: str = luigi.Parameter()
        odd: str = luigi.Parameter()
        selected: str = luigi.Parameter()
        decoded = luigi.ListParameter()
        vault: str = luigi.Parameter()
        copy: str = luigi.Parameter()
        typed: str = luigi.Parameter(default="x")
        given: str = luigi.Parameter(default="no", visibility=ParameterVisibility.HIDDEN)
        key = SecretParameter(default="${oc.env:DECLARED}")

        def requires(self):
            values = SOURCES
            assert {self.env, self.odd, self.selected, self.decoded[0], self.vault, self.given} <= set(values)
            self.key
            parts = [form for value in values for form in (
                value, repr(value), quote(value, safe=""), base64.b64encode(f"user:{value}".encode()).decode())]
            message = " | ".join(parts)
            url = "postgresql://me:url-password@host/db"
            passed = Passed(text=f"Bearer {message}", url=url, items=list(values), map={"k": values}, message=message)
            other = Passed(text="x", url="y", items=[], map={}, message=message)
            return [passed, other, Fails(message=message, up=passed)]

        def run(self):
            self.dump(1)


    class Writes:
        def begin(self, run):
            self._add(run)

        def task(self, record):
            self._add(record)

        def end(self, end):
            self._add(end)

        def _add(self, values):
            with open("sent.txt", "a") as file:
                file.write(repr(values) + "\\n")
"""
CONFIGURATION = """
Source:
  env: ${oc.env:PLAIN}
  odd: ${oc.env:ODD_ONE}
  selected: ${oc.select:"shared.sel"}
  decoded: "${oc.decode:${oc.env:LISTED}}"
  vault: ${vault:a4b5c6d7}
  copy: a env-ref-5d1f
"""
ENVIRONMENT = {
    "PLAIN": SOURCES["oc.env"],
    "ODD_ONE": SOURCES["oc.env, odd characters"],
    "SELECTED": SOURCES["oc.select"],
    "LISTED": f"['{SOURCES['oc.decode']}']",
    "SHARED": SOURCES["shared"],
    "SERVICE_TOKEN": SOURCES["environment"],
    "DECLARED": SOURCES["secret parameter"],
    "CACHE_URL": f"redis://:{SOURCES['redis']}@127.0.0.1:1/0",
    "AWS_SECRET_ACCESS_KEY": SOURCES["aws"],
    "GCS_CREDENTIALS": json.dumps({"type": "service_account", "private_key": SOURCES["gcs"], "project_id": "mine"}),
    "KART_SIGNING_KEY": SOURCES["signing key"],
    "KART_WEBHOOK_URL": f"https://hooks.example/services/T0/{SOURCES['webhook']}",
}
WORDS = [f"Source.given={SOURCES['command line']}", f"Source.typed=a {SOURCES['resolver']}"]


def make(small_project, monkeypatch, executor):
    """Make the project, and run it; return its folder and what was printed."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    for name in ("UNUSED", "DB_PASSWORD"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)  # what .env sets is unset again
    note_environment()
    lines = TASKS.replace("SOURCES", repr(list(SOURCES.values())))
    root = small_project(
        {
            "src/PKG/tasks/sinks.py": lines,
            "conf/base/tasks/sinks.yaml": CONFIGURATION,
            "conf/base/shared.yaml": "sel: ${oc.env:SELECTED}\nother: ${oc.env:SHARED}\n",
            ".env": f"UNUSED={SOURCES['.env']}\nDB_PASSWORD={SOURCES['.env by name']}\nDATA_DIR=data/raw\nSTAGE=dev\n",
        }
    )
    (package,) = [path.name for path in (root / "src").iterdir()]
    workers = 1 if executor == "serial" else 2
    settings = [f"run.executor={executor}", f"run.workers={workers}", f"run.export=['{package}.tasks.sinks:Writes']"]
    monkeypatch.setattr(sys, "argv", ["kart", "run", "Source", *WORDS, *settings])
    monkeypatch.setattr("warnings.formatwarning", __import__("warnings").formatwarning)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    return root, ["run", "Source", *WORDS, *settings, "logging.level=DEBUG"]


COMMANDS = {
    "kart show --log": ["show", "--log", "Passed"],
    "kart show --json": ["show", "--json", "--log", "Fails"],
    "kart show": ["show"],
    "kart why": ["why", "Upstream"],
    "kart plan": ["plan", "Source", *WORDS],
    "kart config": ["config", "--all", *WORDS],
    "kart list": ["list", "--all"],
    "kart compare": ["compare", "Passed", "--all"],
    "kart graph": ["graph", "Source", *WORDS],
    "kart runs --json": ["runs", "--json"],
}


def texts(root, printed):
    """Return everything that was written, by the kind of the place."""
    found = dict(printed)
    for path in [*root.rglob("*"), *Path(f"{root}-cache").rglob("*")]:
        place = path.relative_to(root) if path.is_relative_to(root) else path.relative_to(root.parent)
        if path.is_file() and place.parts[0] not in ("src", "conf", ".env", ".git") and ".pyc" not in path.name:
            kind = "/".join(place.parts[:3]) if "log" in place.parts else place.parts[0]
            kind = re.sub(r"small_\w+", "PKG", kind) if "-cache" not in kind else "index"
            found[kind] = found.get(kind, b"") + str(place).encode() + path.read_bytes() + unpickled(path)
    return found


def unpickled(path):
    try:
        return repr(pickle.loads(path.read_bytes())).encode()
    except Exception:
        return b""


def forms(value):
    """Return how a secret can be written, made here in other ways than the engine does."""
    yield from (value, json.dumps(value)[1:-1], repr(value)[1:-1], quote(value, safe=""), quote(value))
    yield json.dumps(json.dumps(value)[1:-1])[1:-1]
    encoded = base64.b64encode(f"user:{value}".encode()).decode()
    yield encoded[8:-4]


def shows(text, value):
    return [form for form in forms(value) if form.encode() in text]


def run_all(small_project, monkeypatch, capfd, executor):
    root, words = make(small_project, monkeypatch, executor)
    printed = {}
    assert main(words) == 1  # Fails has failed
    captured = capfd.readouterr()
    printed["kart run, standard output"], printed["kart run, standard error"] = captured.out, captured.err
    for name, command in COMMANDS.items() if executor == "serial" else ():
        main(command)
        captured = capfd.readouterr()
        printed[name] = captured.out + captured.err
    assert executor != "serial" or main(["report"]) == 0
    capfd.readouterr()
    return texts(root, {name: text.encode() for name, text in printed.items()})


@pytest.mark.parametrize("executor", ["serial", "processes"])
def test_no_secret_of_any_source_is_anywhere(executor, small_project, monkeypatch, capfd):
    found = run_all(small_project, monkeypatch, capfd, executor)
    leaks = {
        f"{source} in {place}": shown
        for place, text in found.items()
        for source, value in [*SOURCES.items(), ("url", "url-password")]
        if (shown := shows(text, value))
    }
    assert leaks == {}
    everything = b"".join(found.values())
    assert b"message ***" in everything
    assert b"data/raw" not in everything  # nobody printed it
    assert not re.search(rb"pin\W{1,12}4711", everything)  # too short to be found by its value
    assert executor != "serial" or b"***" in found["kart why"]


NO_TEXT = {
    "outputs",
    "outputs/log/locks",
    "outputs/log/module_versions",
    "outputs/log/processing_time",
    "outputs/log/random_seed",
    "pyproject.toml",
    "tests",
}
"""Places that no text of a user's program reaches."""


def test_without_masking_each_place_shows_secrets(small_project, monkeypatch, capfd):
    monkeypatch.setattr(secrets, "_note", lambda value: None)
    secrets.forget_secrets()
    found = run_all(small_project, monkeypatch, capfd, "serial")
    shown = {place: [each for each, value in SOURCES.items() if shows(text, value)] for place, text in found.items()}
    assert {place for place, sources in shown.items() if not sources} == NO_TEXT
    assert {source for sources in shown.values() for source in sources} == set(SOURCES)
