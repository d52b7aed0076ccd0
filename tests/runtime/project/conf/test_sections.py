"""The settings: their values, and what is refused."""

from __future__ import annotations

import pytest

from kart_runtime.project import open_project


def test_settings_have_their_values_and_defaults(small_project):
    small_project()
    session = open_project(env="ci")
    run = session.settings.run
    assert (run.task, run.workspace, run.seed, run.executor) == ("RunAll", "outputs/", 1, None)
    assert session.settings.logging.level == "WARNING"
    assert session.layers == ("conf/base", "conf/ci")


@pytest.mark.parametrize(
    ("file", "text", "wanted"),
    [
        ("conf/base/run.yaml", "workspce: x\n", "conf/base/run.yaml:1: run.workspce: unknown setting"),
        ("conf/base/run.yaml", "workers: '2'\n", "run.yaml:1: run.workers: expected int or null, got str '2'"),
        ("conf/base/run.yaml", "workers: 0\n", "expected a number of at least 1, got 0"),
        ("conf/base/run.yaml", "lock_wait: -1\n", "expected a number of seconds of at least 0, got -1"),
        ("conf/base/run.yaml", "address: ''\n", "run.address: expected an address such as tcp://HOST:8786"),
        ("conf/base/run.yaml", "seed: true\n", "expected int or null, got bool True"),
        ("conf/base/run.yaml", "log_files: yes\n", "expected bool (true or false), got str 'yes'"),
        (
            "conf/base/run.yaml",
            "locks: flie\n",
            "expected one of auto, none, file, workspace, redis://HOST:PORT, got 'flie'; did you mean 'file'?",
        ),
        ("conf/base/run.yaml", "locks: redis://:secret@h\n", "got 'redis://***@h', which has no port"),
        ("conf/base/run.yaml", "executor: dusk\n", "expected one of serial"),
        ("conf/base/run.yaml", "workspace: ''\n", "expected a folder, got empty text"),
        ("conf/base/run.yaml", "workspace: [a]\n", "expected text (put it into quotes), got a list"),
        ("conf/base/run.yaml", "task: RunAl\n", "conf/base/run.yaml:1: run.task: unknown task RunAl"),
        ("conf/base/logging.yaml", "level: LOUD\n", "conf/base/logging.yaml:1: logging.level: expected one of"),
        ("conf/base/loging.yaml", "level: INFO\n", "loging: unknown section"),
        (
            "conf/base/tasks/nubmers.yaml",
            "Total: {}\n",
            "tasks.nubmers: unknown task module. Did you mean 'numbers'?",
        ),
        ("conf/base/tasks.yaml", "numbers: 3\n", "numbers: is not a map"),
        ("conf/local/run.yaml", "sed: 3\n", "conf/local/run.yaml:1: run.sed: unknown setting"),
    ],
)
def test_a_setting_that_is_not_declared_is_refused(small_project, file, text, wanted, refused):
    small_project({file: text})
    assert any(wanted in error for error in refused())
