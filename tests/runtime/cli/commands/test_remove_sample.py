"""`kart remove-sample`; tests/runtime/project/refactor/test_sample.py tests what it removes."""

from __future__ import annotations

import hashlib
import json


def sample(root):
    """Record a module of a small project as its sample."""
    package = next((root / "src").iterdir()).name
    name = f"src/{package}/lib/rows.py"
    digest = hashlib.sha256((root / name).read_bytes()).hexdigest()
    edits = [{"file": "README.md", "old": "rows\n", "new": "none\n"}]
    (root / ".kart-sample.json").write_text(json.dumps({"files": {name: digest}, "edits": edits}))
    return name


def test_a_dry_run_shows_everything_and_changes_nothing(small_project, kart):
    root = small_project({"src/PKG/lib/rows.py": "X = 1\n", "README.md": "rows\n"})
    name = sample(root)
    typed = kart("remove-sample", "--dry-run")
    assert typed.code == 0
    assert "-rows\n+none\n" in typed.out
    assert "X = 1" not in typed.out  # of a file that goes, the name is enough
    assert {"deleted .kart-sample.json", "changed README.md", f"deleted {name}"} <= {*typed.lines}
    assert typed.lines[-1] == "Dry run: nothing was changed. Leave out --dry-run to remove the sample."
    assert (root / name).is_file()
    assert (root / "README.md").read_text() == "rows\n"


def test_it_says_what_it_did_and_what_is_next(small_project, kart):
    root = small_project({"src/PKG/lib/rows.py": "X = 1\n", "README.md": "rows\n"})
    name = sample(root)
    typed = kart("remove-sample")
    assert typed.code == 0
    assert typed.lines[:3] == ["deleted .kart-sample.json", "changed README.md", f"deleted {name}"]
    assert typed.lines[3].startswith("Removed the sample (3 files deleted or changed).")
    assert typed.lines[4].startswith("Then: kart new-task MODULE.ClassName")
    assert not (root / name).exists()
    again = kart("remove-sample")
    assert (again.code, again.out) == (2, "")
    assert ".kart-sample.json is missing, so this project has no sample, or not any more" in again.err
