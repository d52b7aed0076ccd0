"""One walk for all that deletes: no hidden or linked folder, no excluded path, regular files only."""

from __future__ import annotations

from pathlib import Path

from kart_runtime.history.cleanup.local_files import unneeded_files, walk


def put(*paths):
    for path in map(Path, paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")


def test_hidden_linked_and_excluded_folders_are_not_entered(tmp_path):
    put("w/a/x", "w/b/x", "w/.hidden/x", "w/c", "outside/x")
    Path("w/link").symlink_to(tmp_path / "outside")
    root = str(tmp_path / "w")
    assert sorted(path for path, _ in walk(root, {f"{root}/b", f"{root}/c"})) == [f"{root}/a/x"]
    assert list(walk(root, {root})) == []


def test_needed_and_hidden_files_and_links_stay(tmp_path):
    put("w/needed.pkl", "w/old.pkl", "w/.gitkeep", "w/.hidden.pkl", "w/README")
    Path("w/link.pkl").symlink_to("old.pkl")
    root = str(tmp_path / "w")
    assert list(unneeded_files(root, {f"{root}/needed.pkl"}, {f"{root}/old.pkl"})) == [f"{root}/old.pkl"]
    put("w/log/runs/x.commit.json")  # whoever comes next needs it
    put("w/log/scratch/Train_1/checkpoint.pkl")
    assert list(unneeded_files(root, {f"{root}/needed.pkl"}, {f"{root}/old.pkl"})) == [f"{root}/old.pkl"]
