"""What a command prints holds no control characters, and says so where it cannot be printed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from kart_runtime.cli.terminal import visible

NASTY = "\x1b]0;owned\x07 \x1b[2J\x9b31m \u202edesrever\u202c \x1b[31mred\x1b[0m \r over\x08"

TALKS = """
    import logging
    import luigi
    from kart_runtime import TaskOnKart

    NASTY = "NASTYTEXT"

    class Talks(TaskOnKart[int]):
        text: str = luigi.Parameter(default=NASTY)

        def run(self):
            logging.getLogger("talks").warning("%s", NASTY)
            raise ValueError(NASTY)
"""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ü 漢 \t two\nlines", "plain ü 漢 \t two\nlines"),
        ("\x1b]0;t\x07", "\\x1b]0;t\\x07"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b[2Jx\x9b", "\\x1b[2Jx\\x9b"),
        ("a\r\nb\rc", "a\nb\\rc"),
        ("\u202eabc", "\\u202eabc"),
    ],
)
def test_escapes_stand_for_control_characters_and_colors_go(text, shown):
    assert visible(text) == shown


def test_no_command_prints_control_characters_of_logs_errors_and_parameters(small_project, kart):
    nasty = NASTY.encode("unicode_escape").decode()
    small_project({"src/PKG/tasks/talks.py": TALKS.replace("NASTYTEXT", nasty)})
    shown = kart("run", "Talks")
    printed = [shown.out + shown.err]
    assert "red" in printed[0]
    for words in (["show", "--log", "Talks"], ["show"], ["why", "Talks"], ["plan", "Talks"], ["list"], ["config"]):
        shown = kart(*words)
        printed.append(shown.out + shown.err)
    assert "owned" in printed[1]
    for text in printed:
        assert not [each for each in text if each in "\x07\x08\x1b\x9b\r\u202e\u202c"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
@pytest.mark.parametrize("words", [["--version"], ["list"]])
def test_what_cannot_be_printed_is_told_without_a_traceback(words, small_project):
    root = small_project()
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "kart_runtime", *words]
        done = subprocess.run(
            command, cwd=root, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    assert done.returncode == 1
    assert done.stderr == "error: cannot write to standard output: No space left on device\n"


def test_a_reader_that_has_enough_is_no_error(small_project):
    root = small_project()
    command = [sys.executable, "-m", "kart_runtime", "list"]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 141
