"""`kart migrate`, in folders that are no kart projects."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """\
# coding: utf-8
import luigi

try:
    import gokart
except ImportError:
    gokart = None
from gokart import TaskInstanceParameter
from unittest.mock import patch


class Numbers(gokart.TaskOnKart):
    size = luigi.IntParameter(default=3)

    def run(self):
        self.dump(list(range(self.size)))


class Total(gokart.TaskOnKart):
    numbers = TaskInstanceParameter()

    def requires(self):
        return self.numbers

    def run(self):
        self.dump(sum(self.load()))


def main():
    import gokart as g

    print(g.build(Total(numbers=Numbers(size=5))))
    with patch('gokart.build', return_value='patched'):
        print(g.build(Numbers()))


if __name__ == '__main__':
    main()
"""


@pytest.fixture
def program(tmp_path) -> Path:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    path.chmod(0o750)
    return path


def test_a_program_runs_after_the_migration(program, kart):
    typed = kart("migrate", ".", "--write")
    assert (typed.code, typed.err) == (0, "")
    assert typed.lines == ["changed program.py", "Changed 1 file (3 imports, 1 string)."]
    assert program.stat().st_mode & 0o777 == 0o750
    ran = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-2:] == ["10", "patched"]


def test_a_second_time_there_is_nothing_to_change(program, kart):
    kart("migrate", ".", "--write")
    once = program.read_bytes()
    for options in ([], ["--write"]):
        typed = kart("migrate", ".", *options)
        assert (typed.code, typed.err) == (0, "")
        assert typed.lines == ["Nothing to change."]
    assert program.read_bytes() == once


def test_without_write_there_is_a_diff_and_nothing_changes(program, kart):
    before = program.read_bytes()
    typed = kart("migrate", str(program))
    assert typed.code == 0
    assert "-    import gokart\n+    import kart_runtime.gokart as gokart\n" in typed.out
    assert typed.lines[-1] == "Dry run: would change 1 file (3 imports, 1 string). Pass --write to change them."
    assert program.read_bytes() == before


def test_a_broken_file_is_named_with_3_and_the_others_change(program, kart):
    Path("broken.py").write_text("import gokart\ndef f(:\n")
    typed = kart("migrate", ".", "--write")
    assert typed.code == 3
    assert "error: broken.py: is not Python" in typed.err
    assert Path("broken.py").read_text() == "import gokart\ndef f(:\n"
    assert "kart_runtime.gokart" in program.read_text()


def test_a_file_that_cannot_be_written_is_named_with_1(program, kart):
    Path("param.ini").write_text("[a.T]\nx=1\n")
    Path("param.yaml").symlink_to("nowhere.yaml")
    typed = kart("migrate", ".", "--write", "--config")
    assert typed.code == 1
    assert typed.err == "error: param.yaml: was not written: File exists\n"
    assert typed.lines == ["changed program.py", "Changed 1 file (3 imports, 1 string)."]
    assert not Path("nowhere.yaml").exists()


def test_a_path_that_is_not_there_is_refused_with_2(kart):
    typed = kart("migrate", "nowhere")
    assert typed.code == 2
    assert "nowhere: there is no such file or folder" in typed.err
    assert kart("migrate").code == 2


def test_a_configuration_is_written_next_to_the_ini(kart):
    Path("param.ini").write_text("[TaskOnKart]\nworkspace_directory=./resource\n[core]\nx=1\n")
    typed = kart("migrate", "param.ini", "--config", "--write")
    assert typed.code == 0
    assert typed.lines == [
        "wrote param.yaml",
        "also change: param.ini: [core] stays there: it belongs to no task",
        "Changed 1 file (0 imports, 0 strings).",
    ]
    assert "run:\n  workspace: ./resource\n" in Path("param.yaml").read_text()


def test_what_a_person_has_to_change_is_told(program, kart):
    Path("requirements.txt").write_text("gokart==1.12\n")
    typed = kart("migrate", ".")
    assert "also change: requirements.txt:1: gokart==1.12: the dependency is kart-runtime" in typed.lines
