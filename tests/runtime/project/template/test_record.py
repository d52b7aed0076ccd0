"""Record of the template in a project."""

from __future__ import annotations

import json

import pytest

from kart_runtime.project.template.record import (
    CRUFT,
    PLAN,
    RECORD,
    Record,
    TemplateError,
    find_root,
    read_record,
    unfinished_update,
)

PLAIN = Record("https://example.org/kart.git", "template", "a" * 40, "0.1.0", {"author": 'A "😀" \\ B', "ci": "none"})
TARGET = Record("https://example.org/kart.git", "template", "b" * 40, "0.2.0", {"author": "A"})


@pytest.mark.parametrize(
    "record", [PLAIN, PLAIN.unfinished(TARGET, ("Makefile",)), Record("kart-runtime", "t", None, "1", {}, dirty=True)]
)
def test_record_comes_back_as_it_was_written(tmp_path, record):
    (tmp_path / RECORD).write_bytes(record.to_json())
    assert read_record(tmp_path) == record
    assert record.to_json().isascii()


def test_record_of_cruft_is_read(tmp_path):
    context = {"cookiecutter": {"project_name": "X", "_template": "u", "_extensions": ["a"]}}
    document = {"template": "u", "commit": "c" * 40, "checkout": None, "context": context, "directory": None}
    (tmp_path / CRUFT).write_text(json.dumps(document))
    assert read_record(tmp_path) == Record("u", "template", "c" * 40, None, {"project_name": "X"})


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"source": 1}', "<<<<<<< HEAD\n"])
def test_invalid_record_is_refused(tmp_path, content):
    (tmp_path / RECORD).write_text(content)
    with pytest.raises(TemplateError, match="not a valid record"):
        read_record(tmp_path)
    assert len(unfinished_update(tmp_path)) == 1


def test_project_without_a_record_is_told_what_to_do(tmp_path):
    with pytest.raises(TemplateError, match="Generate a project with the same answers"):
        read_record(tmp_path)
    assert unfinished_update(tmp_path) == []


def test_root_is_found_while_pyproject_is_not_valid(tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / RECORD).write_bytes(PLAIN.to_json())
    (tmp_path / "pyproject.toml").write_text("<<<<<<< yours\n")
    assert find_root(tmp_path / "src") == tmp_path
    with pytest.raises(TemplateError, match="not inside a kart project"):
        find_root(tmp_path.parent)


def test_conflicts_are_reported_until_they_are_solved(tmp_path):
    (tmp_path / RECORD).write_bytes(PLAIN.unfinished(TARGET, ("Makefile", "x.png", "gone")).to_json())
    (tmp_path / "Makefile").write_text("a\n<<<<<<< yours\nb\n=======\nc\n>>>>>>> template\n")
    (tmp_path / "x.png.template").write_bytes(b"\0")
    lines = unfinished_update(tmp_path)
    assert [line.partition(": ")[0] for line in lines] == ["Makefile:2", "x.png"]
    (tmp_path / "Makefile").write_text("a\nb\n")
    (tmp_path / "x.png.template").unlink()
    assert unfinished_update(tmp_path) == [
        f"{RECORD}: all conflicts of the update are solved. Run `kart update` to finish it."
    ]
    (tmp_path / RECORD).write_bytes(TARGET.to_json())
    assert unfinished_update(tmp_path) == []


def test_interrupted_update_is_reported(tmp_path):
    (tmp_path / PLAN).mkdir()
    (tmp_path / PLAN / "plan.json").write_text("[]")
    assert "was interrupted. Run `kart update`" in unfinished_update(tmp_path)[0]
