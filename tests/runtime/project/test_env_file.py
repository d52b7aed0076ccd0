"""The variables of `.env`: set where they are not set yet, and never shown."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kart_runtime.errors import ConfigError
from kart_runtime.project import open_project
from kart_runtime.project.env_file import read_env_file

SECRET = "s3cr3t-of-the-team"


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Variables that a test sets are gone after it."""
    monkeypatch.setattr(os, "environ", os.environ.copy())
    os.environ.pop("KART_ENV_FILE", None)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("NAME=x", "x"),
        ("NAME = x", "x"),
        ("export NAME=x", "x"),
        ("NAME=", ""),
        ("NAME='a b'", "a b"),
        ('NAME="a\\nb"', "a\nb"),
        ("NAME=a b  # a comment", "a b"),
        ("NAME='#'", "#"),
        ("NAME=a=b", "a=b"),
        ("NAME=${HOME} $x", "${HOME} $x"),
        ("NAME=first\nNAME=last", "last"),
        ("\ufeffNAME=x\r\n", "x"),
        ("# a comment\n\n  NAME=ü\n", "ü"),
    ],
)
def test_value(tmp_path, line, value):
    (tmp_path / ".env").write_text(line, encoding="utf-8", newline="")
    read_env_file(tmp_path)
    assert os.environ["NAME"] == value


@pytest.mark.parametrize(
    "line", ["NAME", "NAME: x", "1NAME=x", "MY NAME=x", "=x", "NAME='x", 'NAME="x', "NA-ME=x", "a\0=b"]
)
def test_wrong_line_is_named_and_not_shown(tmp_path, line):
    (tmp_path / ".env").write_text(f"# a comment\nFIRST=1\n\n\n{line}{SECRET}\n")
    with pytest.raises(ConfigError, match=r"^\.env:5: not a line NAME=value$"):
        read_env_file(tmp_path)
    assert "FIRST" not in os.environ


def test_all_wrong_lines_are_reported_at_once(tmp_path):
    (tmp_path / ".env").write_text("one\nTWO=2\nthree\n")
    with pytest.raises(ConfigError, match=r"\.env:1: not.*\n.*\.env:3: not"):
        read_env_file(tmp_path)


def test_what_is_set_keeps_its_value(tmp_path):
    os.environ["NAME"] = "mine"
    os.environ["EMPTY"] = ""
    (tmp_path / ".env").write_text("NAME=x\nEMPTY=x\n")
    read_env_file(tmp_path)
    assert (os.environ["NAME"], os.environ["EMPTY"]) == ("mine", "")


def test_another_file_or_none(tmp_path):
    (tmp_path / ".env").write_text("NAME=x\n")
    (tmp_path / "other").write_text("OTHER=y\n")
    os.environ["KART_ENV_FILE"] = ""
    read_env_file(tmp_path)
    os.environ["KART_ENV_FILE"] = "other"
    read_env_file(tmp_path)
    assert "NAME" not in os.environ
    assert os.environ["OTHER"] == "y"
    os.environ["KART_ENV_FILE"] = "missing"
    with pytest.raises(ConfigError, match=r"^\$KART_ENV_FILE: no such file: .*missing$"):
        read_env_file(tmp_path)


def test_folder_called_env_is_no_file(tmp_path):
    (tmp_path / ".env").mkdir()
    read_env_file(tmp_path)


def test_file_that_is_not_text(tmp_path):
    (tmp_path / ".env").write_bytes(b"NAME=\xff\n")
    with pytest.raises(ConfigError, match=r"^\.env: cannot be read: it is not UTF-8"):
        read_env_file(tmp_path)


def test_project_uses_it_and_masks_its_values(small_project):
    root = small_project({"conf/base/tasks/numbers.yaml": "Total:\n  token: ${oc.env:TEAM_TOKEN}\n"})
    (root / ".env").write_text(f"TEAM_TOKEN={SECRET}\n")
    with open_project(root) as session:
        assert session.task("Total")().token == SECRET
        assert SECRET not in repr(session.task("Total")())


def test_every_command_reads_it_and_nothing_shows_a_value(small_project):
    root = small_project(
        {
            "conf/base/tasks/numbers.yaml": "Total:\n  token: ${oc.env:TEAM_TOKEN}\n",
            "conf/night/run.yaml": "workspace: night/\n",
        }
    )
    (root / ".env").write_text(f"TEAM_TOKEN={SECRET}\nKART_ENV=night\n")
    shown = ""
    for words in (["run"], ["config"], ["list"]):
        done = subprocess.run(
            [sys.executable, "-m", "kart_runtime", *words], cwd=root, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        shown += done.stdout + done.stderr
    assert "environment night" in shown
    written = b"".join(path.read_bytes() for path in Path(root, "night").rglob("*") if path.is_file())
    assert written
    assert SECRET not in shown
    assert SECRET.encode() not in written


def test_without_the_library_the_message_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "dotenv.parser", None)
    (tmp_path / ".env").write_text("NAME=x\n")
    with pytest.raises(ConfigError, match=r"Write kart-runtime\[cli\] into"):
        read_env_file(tmp_path)
