"""Three-way merge of a project: nothing that the user wrote is lost."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kart_runtime.project.template.merge import Action, decide, merge, merge_text

KEEP = '[tool.kart.template]\nkeep = ["src", "README.md"]\n'


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


class Case:
    """Three folders, and the project after a merge, by path."""

    def __init__(self, root: Path, base: dict, ours: dict, theirs: dict, *, lost: bool = False) -> None:
        folders = [
            write(root / name, {"pyproject.toml": KEEP, **files})
            for name, files in (("base", base), ("ours", ours), ("theirs", theirs))
        ]
        self.merge = merge(None if lost else folders[0], folders[1], folders[2])
        self.files = dict(ours)
        for change in self.merge.changes:
            before = self.files.get(change.path)
            assert (before.encode() if isinstance(before, str) else before) == change.before
            if change.after is None:
                del self.files[change.path]
            else:
                self.files[change.path] = change.after.decode() if b"\0" not in change.after else change.after
        self.notes = "\n".join(self.merge.notes)


contents = st.sampled_from([None, "a\n", "b\n", "c\n"])


@given(contents, contents, contents)
def test_decision_loses_nothing_of_the_user(base, ours, theirs):
    base, ours, theirs = (text if text is None else text.encode() for text in (base, ours, theirs))
    action = decide(base, ours, theirs)
    if ours not in (base, theirs, None):  # the user's own content is kept or merged
        assert action in (Action.NOTHING, Action.STAYS, Action.MERGE)
    if ours is None and base is not None:  # what the user deleted does not come back
        assert action in (Action.NOTHING, Action.STAYS_DELETED)
    if ours == base != theirs:  # what the user did not touch is that of the template
        assert action is Action.TAKE
    if theirs in (base, ours):
        assert action is Action.NOTHING
    assert (action is Action.MERGE) == (len({base, ours, theirs}) == 3 and None not in (ours, theirs))


lines = st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=6)


@settings(max_examples=40, deadline=None)  # each starts git
@given(lines, lines, lines)
def test_merged_text_has_every_line_that_the_user_added(base, ours, theirs):
    texts = ["".join(f"{line}\n" for line in version).encode() for version in (base, ours, theirs)]
    merged, conflict = merge_text(*texts)
    assert (b"<<<<<<< yours" in merged) == conflict
    for added in set(ours) - set(base):
        assert added.encode() in merged


LINES = "1\n2\n3\n4\n5\n6\n7\n8\n"


def test_edits_of_both_sides_are_merged(tmp_path):
    case = Case(tmp_path, {"f": LINES}, {"f": LINES.replace("1", "own")}, {"f": LINES.replace("8", "new")})
    assert case.files == {"f": "own\n2\n3\n4\n5\n6\n7\nnew\n"}
    assert case.merge.conflicts == []


def test_the_same_line_is_a_conflict_with_both_texts(tmp_path):
    case = Case(tmp_path, {"f": LINES}, {"f": LINES.replace("4", "own")}, {"f": LINES.replace("4", "new")})
    assert case.merge.conflicts == ["f"]
    assert case.files["f"] == "1\n2\n3\n<<<<<<< yours\nown\n=======\nnew\n>>>>>>> template\n5\n6\n7\n8\n"


def test_files_that_the_user_did_not_change_are_the_template_s(tmp_path):
    case = Case(
        tmp_path,
        {"changed": "1\n", "removed": "1\n", "same": "1\n"},
        {"changed": "1\n", "removed": "1\n", "same": "1\n", "mine": "x"},
        {"changed": "2\n", "same": "1\n", "added/new": "2\n"},
    )
    assert case.files == {"changed": "2\n", "same": "1\n", "mine": "x", "added/new": "2\n"}
    assert case.merge.notes == case.merge.conflicts == []


def test_deletions_are_respected_and_said(tmp_path):
    case = Case(tmp_path, {"gone": "1\n", "edited": LINES}, {"edited": LINES + "own\n"}, {"gone": "2\n"})
    assert case.files == {"edited": LINES + "own\n"}
    assert "gone stays deleted" in case.notes
    assert "edited stays" in case.notes


def test_files_of_the_user_are_left_alone_and_listed(tmp_path):
    case = Case(
        tmp_path,
        {"README.md": "1\n", "src/a.py": "1\n"},
        {"README.md": "own\n", "src/a.py": "1\n"},
        {"README.md": "2\n", "src/a.py": "2\n", "src/b.py": "2\n"},
    )
    assert case.files == {"README.md": "own\n", "src/a.py": "1\n"}
    assert case.merge.own == ["README.md", "src/a.py", "src/b.py"]


def test_the_list_of_files_to_keep_is_the_project_s_with_what_the_template_adds(tmp_path):
    own = '[tool.kart.template]\nkeep = ["docs/*.md"]\n'
    new = '[tool.kart.template]\nkeep = ["src", "README.md", "data"]\n'
    case = Case(
        tmp_path,
        {"docs/a.md": "1\n", "src/a.py": "1\n", "data/x": "1\n"},
        {"pyproject.toml": own, "docs/a.md": "1\n", "src/a.py": "1\n", "data/x": "1\n"},
        {"pyproject.toml": new, "docs/a.md": "2\n", "src/a.py": "2\n", "data/x": "2\n"},
    )
    assert (case.files["docs/a.md"], case.files["src/a.py"], case.files["data/x"]) == ("1\n", "2\n", "1\n")


def test_the_list_of_cruft_is_read(tmp_path):
    own = '[tool.cruft]\nskip = ["docs"]\n'
    case = Case(
        tmp_path, {"docs/a": "1\n", "pyproject.toml": own}, {"docs/a": "1\n", "pyproject.toml": own}, {"docs/a": "2\n"}
    )
    assert case.files["docs/a"] == "1\n"
    assert case.files["pyproject.toml"] == KEEP


@pytest.mark.parametrize("edited", [False, True])
def test_edits_follow_a_file_that_the_template_has_renamed(tmp_path, edited):
    ours = LINES.replace("1", "own") if edited else LINES
    case = Case(tmp_path, {"old": LINES}, {"old": ours}, {"docs/new": LINES.replace("8", "new")})
    assert case.files == {"docs/new": ours.replace("8", "new")}
    assert case.merge.conflicts == []


def test_a_renamed_file_whose_content_is_the_same_keeps_the_edits(tmp_path):
    case = Case(tmp_path, {"old": LINES}, {"old": LINES + "own\n"}, {"new": LINES})
    assert case.files == {"new": LINES + "own\n"}


def test_a_renamed_file_that_the_user_deleted_stays_deleted(tmp_path):
    case = Case(tmp_path, {"old": LINES}, {}, {"new": LINES + "9\n"})
    assert case.files == {}
    assert "new stays deleted" in case.notes


def test_a_file_that_both_have_renamed_is_merged(tmp_path):
    case = Case(tmp_path, {"old": LINES}, {"new": LINES.replace("1", "own")}, {"new": LINES.replace("8", "new")})
    assert case.files == {"new": LINES.replace("1", "own").replace("8", "new")}


def test_a_new_file_that_the_user_has_already_is_a_conflict(tmp_path):
    case = Case(tmp_path, {}, {"f": "own\n"}, {"f": "new\n"})
    assert case.merge.conflicts == ["f"]
    assert "own" in case.files["f"]
    assert "new" in case.files["f"]
    assert Case(tmp_path / "same", {}, {"f": "own\n"}, {"f": "own\n"}).merge.conflicts == []


def test_a_binary_file_that_both_changed_is_kept_beside_the_template_s(tmp_path):
    case = Case(tmp_path, {"x.png": b"\0001"}, {"x.png": b"\0002"}, {"x.png": b"\0003"})
    assert case.files == {"x.png": b"\0002", "x.png.template": b"\0003"}
    assert case.merge.conflicts == ["x.png"]


def test_the_engine_is_replaced_whatever_wheel_is_there(tmp_path):
    old, other, new = (f"vendor/kart_runtime-0.1.{n}-py3-none-any.whl" for n in (0, 1, 2))
    case = Case(tmp_path, {old: b"\0001"}, {old: b"\0009", other: b"\0002"}, {new: b"\0003"})
    assert case.files == {new: b"\0003"}
    assert case.merge.conflicts == []


def test_without_the_template_before_every_difference_is_a_conflict(tmp_path):
    case = Case(
        tmp_path,
        {},
        {"f": "1\nown\n3\n", "same": "1\n"},
        {"f": "1\nnew\n3\n", "same": "1\n", "added": "x\n"},
        lost=True,
    )
    assert case.merge.conflicts == ["f"]
    assert case.files["f"] == "1\n<<<<<<< yours\nown\n=======\nnew\n>>>>>>> template\n3\n"
    assert case.files["added"] == "x\n"


def test_line_ends_of_windows_are_no_edits(tmp_path):
    dos = LINES.replace("\n", "\r\n")
    case = Case(tmp_path, {"f": LINES}, {"f": dos.replace("1", "own")}, {"f": LINES.replace("8", "new")})
    assert case.files["f"] == dos.replace("1", "own").replace("8", "new")


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege")
def test_links_and_folders_in_the_way_are_left_and_said(tmp_path):
    for name in ("base", "theirs"):
        number = "1\n" if name == "base" else "2\n"
        write(tmp_path / name, {"pyproject.toml": KEEP, "link": number, "folder": number, "a/file": number})
    write(tmp_path / "ours", {"pyproject.toml": KEEP, "elsewhere": "own", "folder/x": "own", "a": "own"})
    (tmp_path / "ours/link").symlink_to("elsewhere")
    result = merge(tmp_path / "base", tmp_path / "ours", tmp_path / "theirs")
    assert result.changes == []
    assert [note.partition(" ")[0] for note in result.notes] == ["a/file", "folder", "link"]
