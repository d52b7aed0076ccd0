"""`kart run` sends a run while it goes on, and `kart export` afterwards; both say what they did."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.runtime.exporters.receivers import BAD, Mlflow, receiver

EXPORTING = """
    import pathlib


    class Printing:
        def begin(self, run):
            self.lines = [f"{run['run'][:8]} {run['label']}"]

        def task(self, record):
            self.lines.append(f"{record['task']} {record['state']}")

        def end(self, end):
            pathlib.Path("got.txt").write_text(", ".join([*self.lines, end["state"]]))


    class Raising(Printing):
        def end(self, end):
            raise KeyError("nothing of this name")
"""


@pytest.fixture
def project(small_project, monkeypatch):
    for name in ("KART_WEBHOOK_URL", "KART_WEBHOOK_FORMAT", "KART_WEBHOOK_SECRET", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    return small_project({"src/PKG/exporting.py": EXPORTING})


@pytest.fixture
def own(project):
    (package,) = Path("src").iterdir()
    return lambda name: f"{package.name}.exporting:{name}"


@pytest.fixture
def hook(project, monkeypatch):
    with receiver() as server:
        monkeypatch.setenv("KART_WEBHOOK_URL", server.url)
        yield server


def test_a_run_tells_the_exporters_of_its_settings(kart, hook, own):
    file = Path("conf/base/run.yaml")
    file.write_text(f"{file.read_text()}export: [webhook, '{own('Printing')}']\n")
    done = kart("run", "--label", "first", "Total.weight=3")
    assert (done.code, done.err.count("not")) == (0, 0), done.err
    (body,) = hook.bodies
    assert (body["state"], body["ran"], body["label"], body["env"]) == ("done", 3, "first", "dev")
    assert list(body["overrides"].values()) == ["3.0"]
    assert Path("got.txt").read_text().split(", ")[1:] == ["Numbers done", "Total done", "RunAll done", "done"]
    assert kart("run", "run.export=[]").code == 0
    assert len(hook.bodies) == 1


@pytest.mark.parametrize("how", ["dead", "hangs", "500", "garbage"])
@pytest.mark.parametrize(("words", "code"), [((), 0), (("Total.options={a: 1}", "Total.weight=oops"), 2)])
def test_a_bad_receiver_changes_no_exit_code(kart, project, monkeypatch, how, words, code):
    monkeypatch.setattr("kart_runtime.exporters.sending.LAST_SECONDS", 0.3)
    with BAD[how]() as url:
        monkeypatch.setenv("KART_WEBHOOK_URL", url)
        done = kart("run", "run.export=webhook", *words)
    assert done.code == code
    assert ("Send it with: kart export 2" in done.err) == (code == 0), done.err


def test_the_result_is_printed_before_anybody_waits(kart_process, project, monkeypatch):
    with BAD["hangs"]() as url:
        monkeypatch.setenv("KART_WEBHOOK_URL", url)
        process = kart_process("run", "run.export=[webhook]", "logging.level=INFO", stderr=subprocess.STDOUT)
        try:
            lines = list(iter(process.stdout.readline, ""))
            assert process.wait(60) == 0
        finally:
            process.kill()
            process.stdout.close()
    number = {
        words: next(n for n, line in enumerate(lines) if words in line) for words in ("3 ran", "Waiting at", "--to")
    }
    assert number["3 ran"] < number["Waiting at"] < number["--to"]


def test_the_line_that_is_printed_sends_the_run(kart, project, monkeypatch):
    with BAD["dead"]() as url:
        monkeypatch.setenv("KART_WEBHOOK_URL", url)
        said = kart("run", "run.export=[webhook]").err
    line = said.partition("Send it with: kart ")[2].splitlines()[0]
    with receiver() as server:
        monkeypatch.setenv("KART_WEBHOOK_URL", server.url)
        done = kart(*line.split())
        assert (done.code, done.err) == (0, "")
        assert done.out.startswith(f"Sent {line.split()[1]}: 1 message (state done) to 127.0.0.1:")
        assert [body["run"] for body in server.bodies] == [line.split()[1]]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("[mlfow]", "unknown exporter 'mlfow'; did you mean 'mlflow'?"),
        ("3", "expected a list of exporters, for example [mlflow, webhook], got 3"),
        ("[{a: 1}]", "expected a list of exporters"),
        (
            "[no_such_module:Ours]",
            "run.export: the exporter no_such_module:Ours cannot be imported: there is no module",
        ),
    ],
)
@pytest.mark.parametrize("command", ["run", "check"])
def test_a_wrong_name_in_the_settings_is_an_error_before_anything_runs(kart, project, value, expected, command):
    file = Path("conf/base/run.yaml")
    file.write_text(f"{file.read_text()}export: {value}\n")
    done = kart(command)
    assert done.code in (2, 3)
    assert expected in done.out + done.err
    assert not Path("outputs").exists()


def test_runs_are_named_as_everywhere(kart, hook):
    kart("run", "--label", "first")
    kart("run", "Total.weight=5")
    ids = [body["run"] for body in _sent(kart, hook, "last", "last~1", "first")]
    assert ids[0] > ids[1]
    assert ids[1] == ids[2]
    assert _sent(kart, hook, ids[1][:20])[0]["run"] == ids[1]
    assert _sent(kart, hook)[0]["run"] == ids[0]


def _sent(kart, hook, *words):
    hook.requests.clear()
    for word in words or (None,):
        assert kart("export", *([word] if word else []), "--to", "webhook").code == 0
    return hook.bodies


def test_several_exporters_in_one_command(kart, hook, own, monkeypatch):
    kart("run")
    answers = Mlflow()
    with receiver(answers) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
        done = kart("export", "--to", "webhook", "--to", "mlflow", "--to", own("Printing"))
    assert done.code == 0, done.err
    assert [line.partition(": ")[2][:22] for line in done.lines] == [
        "1 message (state done)",
        "1 run to http://127.0.",
        "3 attempts to small_" + own("Printing")[6:8],
    ]


@pytest.mark.parametrize("how", ["dead", "garbage", "500"])
def test_what_was_not_sent_is_an_error(kart, project, own, monkeypatch, how):
    kart("run")
    with BAD[how]() as url:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        done = kart("export", "--to", "mlflow", "--to", own("Printing"))
    assert done.code == 1
    assert "was not, or not completely, sent to mlflow: " in done.err
    assert "Traceback" not in done.err
    assert "3 attempts to" in done.out  # the other one is sent all the same


def test_a_mistake_in_a_class_of_ones_own_shows_where_it_is(kart, project, own):
    kart("run")
    done = kart("export", "--to", own("Raising"))
    assert done.code == 1
    assert 'raise KeyError("nothing of this name")' in done.err
    assert "kart_runtime" not in done.err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--to", "mlfow"], "unknown exporter 'mlfow'; did you mean 'mlflow'?"),
        (["--to", "mlflow"], "the exporter mlflow has no address: set MLFLOW_TRACKING_URI"),
        (["--to", "mlflow", "--to", "webhook"], "set KART_WEBHOOK_URL"),
        (["last~7", "--to", "PRINTING"], "'last~7' goes too far back: there is only one"),
        (["nigtly", "--to", "PRINTING"], "did you mean 'nightly'?"),
        (["one", "two", "--to", "PRINTING"], "kart export takes one run, not 2: one, two"),
        ([], "the following arguments are required: --to"),
    ],
)
def test_what_cannot_be_sent_is_refused(kart, project, own, words, expected):
    kart("run", "--label", "nightly")
    done = kart("export", *[own("Printing") if word == "PRINTING" else word for word in words])
    assert done.code == 2
    assert expected in done.err
    assert not Path("got.txt").exists()


def test_without_history_there_is_nothing_to_send(kart, project, own):
    done = kart("export", "--to", own("Printing"))
    assert (done.code, done.out) == (0, "no run yet in outputs; kart run makes the first\n")


def test_a_run_that_died_is_sent_as_interrupted(kart, hook):
    kart("run")
    (file,) = Path("outputs/log/runs").glob("*.jsonl")
    lines = [line for line in file.read_text().splitlines() if '"end": "' not in line]
    file.write_text("\n".join([*lines[:-1], lines[-1][:30], "null", "[]", "{"]) + "\n")
    done = kart("export", "--to", "webhook")
    assert done.code == 0, done.err
    assert "has no end: it died, or goes on. What it has so far is sent." in done.err
    assert [body["state"] for body in hook.bodies] == ["interrupted"]


def test_an_exporter_is_found_from_any_folder(kart, project, hook, monkeypatch):
    kart("run")
    (Path(project) / "notebooks").mkdir()
    monkeypatch.chdir(Path(project) / "notebooks")
    assert kart("export", "--to", "webhook").code == 0
    assert len(hook.bodies) == 1
