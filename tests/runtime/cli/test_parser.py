"""Help, and mistakes in what was typed."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest

from kart_runtime.cli.command_table import COMMANDS as TABLE
from kart_runtime.cli.parser import parse
from kart_runtime.history.cleanup.retention import RetentionPolicy

COMMANDS = [
    "run",
    "plan",
    "why",
    "report",
    "search",
    "tree",
    "runs",
    "show",
    "diff",
    "compare",
    "graph",
    "list",
    "config",
    "check",
    "new-task",
    "rename-task",
    "remove-task",
    "remove-sample",
    "publish",
    "export",
    "clean",
    "accept",
    "sign",
    "verify",
    "gc",
    "new",
    "update",
    "migrate",
]


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
        (["rnu"], "unknown command 'rnu'\n       did you mean 'run'?"),
        (
            ["frobnicate"],
            "expected: run, plan, why, report, search, tree, runs, show, diff, compare, graph, list, config",
        ),
        (["run", "--worker", "2"], "unknown option --worker\n       did you mean '--workers'?"),
        (["run", "--workspace", "other"], "unknown option --workspace\n       did you mean 'run.workspace=VALUE'?"),
        (["gc", "--log-files"], "did you mean 'run.log_files=VALUE'?"),
        (["list", "--seed", "1"], "unknown option --seed\n       Run `kart list --help`"),
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


def test_every_command_can_be_executed():
    assert [command.name for command in TABLE] == COMMANDS
    assert all(callable(command.load()) for command in TABLE)


def test_the_defaults_of_gc_are_those_of_the_retention_policy():
    _, arguments = parse(["gc"], None)
    assert RetentionPolicy(arguments.keep_runs, arguments.keep_days) == RetentionPolicy()


@pytest.mark.parametrize(
    "words", [["--help"], ["run", "--help"], ["gc", "--help"], ["migrate", "--help"], ["--version"]]
)
def test_help_imports_no_command_and_neither_luigi_nor_omegaconf(words):
    program = """
import sys
from kart_runtime.cli import main
assert main(sys.argv[1:]) == 0
heavy = {"luigi", "omegaconf", "yaml", "kart_runtime.project", "kart_runtime.builder", "kart_runtime.cli.commands"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_project_without_interpolations_is_planned_without_omegaconf(small_project):
    root = small_project()
    program = """
import sys
from kart_runtime.cli import main
assert main(["plan"]) == 0
unused = {"omegaconf", "kart_runtime.builder", "kart_runtime.migrate", "rich"}
assert not unused & set(sys.modules), unused & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
