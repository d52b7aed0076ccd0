"""The command line as a process: codes, pipes, characters."""

from __future__ import annotations

import os

import pytest


def test_as_a_process_it_runs_and_returns_its_code(small_project, kart_process):
    small_project()
    process = kart_process("run")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert err == ""
    assert "3 tasks: 3 ran" in out
    assert "\x1b" not in out


@pytest.mark.parametrize("command", ["tree", "list", "config"])
def test_a_reader_who_leaves_early_sees_no_traceback(small_project, kart_process, command):
    many = "from kart_runtime import TaskOnKart\n" + "".join(
        f"class Task{n}(TaskOnKart[int]): pass\n" for n in range(5000)
    )
    requires = "    def requires(self):\n        return [globals()[f'Task{n}']() for n in range(5000)]\n"
    small_project({"src/PKG/tasks/many.py": many + "class Top(TaskOnKart[int]):\n" + requires})
    words = ["tree", "Top"] if command == "tree" else [command]
    process = kart_process(*words)
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(timeout=60) == 141


def test_a_terminal_without_utf8_gets_a_tree_of_plain_characters(small_project, kart_process):
    small_project()
    process = kart_process("tree", env={**os.environ, "PYTHONIOENCODING": "ascii"})
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "|-- Numbers  to run" in out


def test_a_character_that_the_terminal_lacks_is_shown_by_its_code(small_project, kart_process):
    small_project({"src/PKG/tasks/doc.py": 'import luigi\nclass A(luigi.Task):\n    """Größe."""\n'})
    process = kart_process("list", env={**os.environ, "PYTHONIOENCODING": "ascii"})
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "A: Gr\\xf6\\xdfe." in out
