"""A change is written whole or not at all."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from kart_runtime.migrate import CannotMigrate, Change, Problem, diff, write


def test_the_diff_has_a_line_for_each_line_of_the_file():
    change = Change(Path("a.py"), b"a\r\nb\x0cc\r\n", b"a\r\nd\x0cc")
    assert list(diff(change)) == ["--- a.py", "+++ a.py", "@@ -1,2 +1,2 @@", " a", "-b\x0cc", "+d\x0cc"]


def test_a_new_file_is_a_diff_from_nothing():
    assert list(diff(Change(Path("a.yaml"), None, b"x: 1\n"))) == [
        "--- /dev/null",
        "+++ a.yaml",
        "@@ -0,0 +1 @@",
        "+x: 1",
    ]


def test_writing_keeps_the_mode_and_leaves_no_other_file(tmp_path):
    path = tmp_path / "a.py"
    path.write_bytes(b"old")
    path.chmod(0o750)
    write(Change(path, b"old", b"new"))
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o750
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_a_link(tmp_path):
    path, link = tmp_path / "a.py", tmp_path / "b.py"
    path.write_bytes(b"old")
    link.symlink_to(path)
    write(Change(link, b"old", b"new"))
    assert link.is_symlink()
    assert path.read_bytes() == b"new"


def test_a_file_that_has_changed_meanwhile_is_not_overwritten(tmp_path):
    path = tmp_path / "a.py"
    path.write_bytes(b"newer")
    with pytest.raises(CannotMigrate, match="has changed meanwhile"):
        write(Change(path, b"old", b"new"))
    assert path.read_bytes() == b"newer"


def test_a_file_that_exists_meanwhile_is_not_overwritten(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_bytes(b"somebody's")
    with pytest.raises(FileExistsError):
        write(Change(path, None, b"ours"))
    assert path.read_bytes() == b"somebody's"


def test_errors_and_problems_say_what_they_are():
    assert str(pickle.loads(pickle.dumps(CannotMigrate("why")))) == "why"
    assert str(Problem(Path("a.py"), "why")) == "a.py: why"
