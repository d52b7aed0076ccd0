"""luigi's command line ends with gokart's exit codes, and does what kart adds to it."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import luigi
import pytest
from luigi.cmdline_parser import CmdlineParser
from luigi.configuration import LuigiConfigParser
from luigi.setup_logging import InterfaceLogging

from kart_runtime import TaskOnKart
from kart_runtime.errors import ConfigError
from kart_runtime.gokart.run import run
from tests.runtime.gokart.slack.test_slack_api import called, fields, slack  # noqa: F401 - a fixture

LOCAL = [
    "--local-scheduler",
    "--no-lock",
    "--log-level",
    "CRITICAL",
    "--worker-wait-interval=0.05",
    "--worker-wait-jitter=0",
]


@pytest.fixture(autouse=True)
def _luigi_as_it_was(monkeypatch):
    monkeypatch.setattr(LuigiConfigParser, "_config_paths", list(LuigiConfigParser._config_paths))
    monkeypatch.setattr(InterfaceLogging, "_configured", True)
    yield
    assert CmdlineParser.get_instance() is None


def code_of(*words, **options):
    with pytest.raises(SystemExit) as end:
        run([*words, *LOCAL], **options)
    return end.value.code


class Outside(luigi.ExternalTask):
    def output(self):
        return luigi.LocalTarget("outside.txt")


class First(TaskOnKart[str]):
    def run(self):
        self.dump("first")


class Main(TaskOnKart[str]):
    word = luigi.Parameter(default="word")
    outside = luigi.BoolParameter(default=False)
    fails = luigi.BoolParameter(default=False)
    unplanned = luigi.BoolParameter(default=False)

    def requires(self):
        return [First(), *([Outside()] if self.outside else [])]

    def complete(self):
        if self.unplanned:
            raise ConnectionError("on purpose")
        return super().complete()

    def run(self):
        if self.fails or Path("fail").exists():
            raise ValueError("on purpose")
        self.dump(f"{self.load()[0]} {self.word}")


def test_the_task_is_run_with_its_parameters():
    assert code_of("Main", "--word", "last") == 0
    assert Main(word="last").output().load() == "first last"
    assert code_of("Main", "--word", "last") == 0


@pytest.mark.parametrize(
    ("words", "code"),
    [(["--outside"], 20), (["--fails"], 40), (["--unplanned"], 50), (["--outside", "--fails"], 20)],
)
def test_exit_codes(words, code):
    assert code_of("Main", *words) == code


def test_luigis_own_exit_codes():
    assert code_of("Main", "--fails", set_retcode=False) == 0
    assert code_of("Main", "--fails") == 40
    assert code_of("Main", "--fails", "--retcode-task-failed", "7") == 7
    luigi.configuration.get_config().set("retcode", "task_failed", "8")
    assert code_of("Main", "--fails") == 8
    luigi.configuration.get_config().set("retcode", "task_failed", "0")
    assert code_of("Main", "--fails") == 30


# luigi reads this key, and says of it that nobody does.
@pytest.mark.filterwarnings("ignore::luigi.parameter.UnconsumedParameterWarning")
def test_no_scheduler_answers_is_an_error_inside_luigi(caplog):
    caplog.set_level(logging.ERROR, "luigi-interface")
    luigi.configuration.get_config().set("core", "rpc_retry_wait", "0")
    with pytest.raises(SystemExit) as end:
        run(["Main", "--no-lock", "--scheduler-url", "ftp://nowhere"])
    assert end.value.code == 4
    assert "Uncaught exception in luigi" in caplog.text


def test_options_that_do_not_exist_and_tasks_that_lack_a_value(capsys):
    assert code_of("Main", "--wrod", "x") == 2
    assert "--wrod" in capsys.readouterr().err

    class Needs(TaskOnKart[int]):
        number = luigi.IntParameter()

    with pytest.raises(luigi.parameter.MissingParameterException, match="number"):
        run(["Needs", *LOCAL])
    with pytest.raises(luigi.task_register.TaskClassNotFoundException):
        run(["Nothing", *LOCAL])


def test_by_default_the_words_are_those_of_the_program(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["main.py", "Main", "--word", "argv", *LOCAL])
    with pytest.raises(SystemExit) as end:
        run()
    assert end.value.code == 0
    assert Main(word="argv").complete()


@pytest.mark.parametrize("mode", ["simple", "all"])
def test_the_tree_is_written_and_nothing_is_run(mode):
    assert code_of("Main", f"--tree-info-mode={mode}", "--tree-info-output-path=tree.txt") in (0, None)
    tree = Path("resources/tree.txt").read_text()
    assert "Main" in tree
    assert "First" in tree
    assert ("word" in tree) is (mode == "all")
    assert not Main().complete()


def test_a_mode_that_does_not_exist():
    with pytest.raises(ConfigError, match="--tree-info-mode"):
        run(["Main", "--tree-info-mode=pretty", *LOCAL])


def test_outputs_of_no_task_are_deleted():
    code_of("Main")
    left_over, mine = Path("resources/left_over.txt"), Path("resources/README")
    left_over.touch()
    mine.touch()
    assert code_of("Main", "--delete-unnecessary-output-files") in (0, None)
    assert not left_over.exists()
    assert mine.exists()
    assert Main().complete()


def test_the_test_run_runs_every_task_once_more_and_ends(caplog):
    caplog.set_level(logging.INFO)
    assert code_of("Main", "--test-run-pandas") == 0
    assert caplog.text.count("status=OK") == 2
    Path("fail").touch()
    assert code_of("Main", "--test-run-pandas") == 1
    assert "status=NG" in caplog.text
    assert code_of("Main", "--test-run-pandas", "--test-run-namespace", "other") == 0


def test_the_test_run_of_a_pipeline_that_fails(caplog):
    assert code_of("Main", "--fails", "--test-run-pandas") == 1
    assert "exit code 40" in caplog.text


@pytest.mark.parametrize(
    ("words", "summary"), [([], "Success: 2; Failure: 0"), (["--fails"], "Success: 1; Failure: 1")]
)
@pytest.mark.parametrize("workers", ["1", "2"])
def test_slack_hears_of_it(slack, monkeypatch, words, summary, workers):  # noqa: F811
    monkeypatch.setenv("SLACK_TOKEN", "secret")
    words = [*words, "--SlackConfig-channel", "reports", "--SlackConfig-send-tree-info", "--workers", workers]
    assert code_of("Main", *words) == (40 if "--fails" in words else 0)
    assert fields(slack, "files.completeUploadExternal")["initial_comment"].splitlines() == ["Report of Main", summary]
    content = next(body for method, _, body in slack.calls if method == "upload").decode()
    assert content.startswith("===== Event List ====")
    assert f"First:[{First().make_unique_id()}]" in content
    assert "==== Tree Info ====" in content


def test_without_a_token_slack_is_not_called(slack, monkeypatch):  # noqa: F811
    monkeypatch.delenv("SLACK_TOKEN", raising=False)
    assert code_of("Main", "--SlackConfig-channel", "reports") == 0
    assert called(slack) == []


def test_slack_that_does_not_answer_changes_no_exit_code(monkeypatch):
    monkeypatch.setenv("SLACK_TOKEN", "secret")
    monkeypatch.setenv("SLACK_API_URL", "http://127.0.0.1:1")
    assert code_of("Main", "--SlackConfig-channel", "reports") == 0


PROGRAM = """
import sys, time
from pathlib import Path
import luigi
from kart_runtime import TaskOnKart
from kart_runtime.gokart.config_files import add_config
from kart_runtime.gokart.run import run

class Slow(TaskOnKart[str]):
    def run(self):
        Path("started").touch()
        while not Path("go").exists():
            time.sleep(0.05)
        self.dump("done")

if __name__ == "__main__":
    if Path("main.ini").exists():
        add_config("main.ini")
    run()
"""


def start(*words):
    Path("main.py").write_text(PROGRAM)
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, "main.py", "Slow", "--local-scheduler", *words]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_the_same_command_twice_at_once():
    first = start("--lock-pid-dir", "locks")
    try:
        for _try in range(600):
            if Path("started").exists():
                break
            time.sleep(0.05)
        second = start("--lock-pid-dir", "locks")
        output, _ = second.communicate(timeout=60)
        assert second.returncode == 10, output
        Path("go").touch()
        output, _ = first.communicate(timeout=60)
        assert first.returncode == 0, output
    finally:
        for process in (first, second):
            if process.poll() is None:
                process.kill()
                process.communicate()


def test_logging_is_configured_as_luigi_does():
    Path("go").touch()
    Path("logging.conf").write_text(
        "[loggers]\nkeys=root\n[handlers]\nkeys=file\n[formatters]\nkeys=plain\n"
        "[logger_root]\nlevel=INFO\nhandlers=file\n"
        "[handler_file]\nclass=FileHandler\nargs=('run.log',)\nformatter=plain\n"
        "[formatter_plain]\nformat=OURS %(message)s\n"
    )
    Path("main.ini").write_text("[core]\nlogging_conf_file = logging.conf\n")
    process = start("--no-lock")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert "OURS" in Path("run.log").read_text()


OF_SECRETS = """
import luigi
from luigi.parameter import ParameterVisibility
import kart_runtime as gokart

class Fetch(gokart.TaskOnKart):
    token = gokart.SecretParameter()
    hidden = luigi.Parameter(visibility=ParameterVisibility.HIDDEN)
    fails = luigi.BoolParameter()

    def run(self):
        import logging
        logging.getLogger("mine").warning("with %s and %s", self.token, self.hidden)
        if self.fails:
            raise ValueError(f"refused {self.token}")
        self.dump(1)

if __name__ == "__main__":
    gokart.run()
"""


@pytest.mark.parametrize("more", [[], ["--fails"], ["--workers", "2"]])
def test_luigis_worker_logs_no_secret(tmp_path, more):
    (tmp_path / "program.py").write_text(OF_SECRETS)
    words = ["program.py", "Fetch", "--token", "typed-token-123", "--hidden", "typed-hidden-456", *more]
    command = [sys.executable, *words, "--local-scheduler", "--no-lock"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    text = ended.stdout + ended.stderr
    assert "with *** and ***" in text
    assert "typed-token-123" not in text
    assert "typed-hidden-456" not in text
