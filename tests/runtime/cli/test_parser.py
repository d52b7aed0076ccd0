"""Help, and mistakes in what was typed."""

from __future__ import annotations

from importlib.metadata import version

import pytest

COMMANDS = ["run", "plan", "tree", "list", "config", "check", "new-task", "clean"]


def test_help_lists_the_commands_with_examples(kart):
    typed = kart("--help")
    assert typed.code == 0
    for word in (*COMMANDS, "examples:", "exit codes:", "KART_ENV", "NO_COLOR"):
        assert word in typed.out


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help_with_examples(kart, command):
    typed = kart(command, "--help")
    assert typed.code == 0
    assert f"kart {command}" in typed.out
    assert "examples:" in typed.out
    assert "--env" in typed.out


def test_the_examples_name_the_package_that_was_typed(kart):
    typed = kart("run", "--help", package="churn")
    assert "python -m churn run EvaluateModels" in typed.out
    assert "kart run" not in typed.out


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ([], "usage: kart"),
        (["rnu"], "there is no command 'rnu'\n       did you mean 'run'?"),
        (["frobnicate"], "expected: run, plan, tree, list, config, check, new-task, clean"),
        (["run", "--worker", "2"], "there is no option --worker\n       did you mean '--workers'?"),
        (["run", "--workspace", "other"], "there is no option --workspace\n       did you mean 'run.workspace=VALUE'?"),
        (["gc", "--log-files"], "did you mean 'run.log_files=VALUE'?"),
        (["list", "--seed", "1"], "there is no option --seed\n       kart list --help"),
        (["run", "--workers", "many"], "invalid int value: 'many'"),
        (["list", "extra"], "too many arguments: extra"),
        (["run", "--env"], "expected one argument"),
    ],
)
def test_mistakes_in_the_command_line_are_told_with_2(small_project, kart, words, wanted):
    small_project()
    typed = kart(*words)
    assert typed.code == 2
    assert wanted in typed.err
    assert typed.out == ""


def test_the_version_is_that_of_the_distribution(kart):
    typed = kart("--version")
    assert (typed.code, typed.out) == (0, f"kart-runtime {version('kart-runtime')}\n")
