"""Where code can be defined: scripts, notebooks, the prompt, functions, zip files."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import zipfile

import pytest

import kart_runtime
from kart_runtime.code import changed, code_of, forget

SCRIPT = '''
import json, math
import kart_runtime
from kart_runtime import TaskOnKart
from kart_runtime.code import changed, code_of, forget

RATE = 2

def half(value):
    """Halve it."""
    return value / RATE

def unused():
    return 1

class Train(TaskOnKart):
    def run(self):
        self.dump(half(math.floor(3)))

if __name__ == "__main__":
    kart_runtime.build(Train())
    code = code_of(Train)
    print(json.dumps([code.fingerprint, dict(code.definitions)]))
'''
EDITS = [
    ("RATE = 2", "RATE = 3", "RATE"),
    ("math.floor", "math.ceil", "Train.run"),
    ('"""Halve it."""', '"""Divide it."""  # or so', None),
    ("return 1", "return 2", None),
]
IN_CELLS = """
from IPython.core.interactiveshell import InteractiveShell
import sys
shell = InteractiveShell.instance()
for cell in open(sys.argv[1]).read().split("\\n\\n"):
    shell.run_cell(cell, store_history=True).raise_error()
"""


def printed(*command: str, stdin: str | None = None):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", *command], input=stdin, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])


def as_script(tmp_path, text):
    (tmp_path / "train.py").write_text(text)
    return printed("train.py")


def as_module(tmp_path, text):
    (tmp_path / "steps").mkdir(exist_ok=True)
    (tmp_path / "steps" / "train.py").write_text(text)
    return printed("-m", "steps.train")


def as_cells(tmp_path, text):
    (tmp_path / "cells.txt").write_text(text.replace('if __name__ == "__main__":', "if 1:"))
    return printed("-c", IN_CELLS, "cells.txt")


def as_command(tmp_path, text):
    return printed("-c", text)


def from_stdin(tmp_path, text):
    return printed("-", stdin=text)


@pytest.mark.parametrize(
    ("place", "label"),
    [
        (as_script, "train.py"),
        (as_module, "steps/train.py"),
        (as_cells, "__main__"),
        (as_command, "__main__"),
        (from_stdin, "__main__"),
    ],
)
def test_edits_in(place, label, tmp_path):
    fingerprint, definitions = place(tmp_path, SCRIPT)
    assert fingerprint
    for old, new, name in EDITS:
        after, found = place(tmp_path, SCRIPT.replace(old, new))
        assert (after == fingerprint) is (name is None), (old, new)
        differing = {key for key in definitions if definitions[key] != found.get(key)}
        assert differing == ({f"{label}: {name}"} if name else set()), (old, new)


def test_a_cell_that_is_run_again_counts_as_it_is_now(tmp_path):
    again = SCRIPT.replace("if __name__", "RATE = 3\n\ndef half(value):\n    return value - RATE\n\nif __name__")
    direct = SCRIPT.replace("RATE = 2", "RATE = 3").replace("value / RATE", "value - RATE")
    assert as_cells(tmp_path, again) == as_cells(tmp_path, direct)


def made(rate: int, then: int = 0) -> type:
    class Local(kart_runtime.TaskOnKart):
        def run(self):
            self.dump(rate + 1)

    class Alone(kart_runtime.TaskOnKart):
        def run(self):
            self.dump(2)

    return Alone if then else Local


def test_classes_in_functions():
    alone, local = code_of(made(1, 1)), code_of(made(1))
    labels = [label.rpartition(": ")[2] for label in alone.definitions]
    assert labels == ["made.Alone", "made.Alone.run"]
    assert "made" in {label.rpartition(": ")[2] for label in local.definitions}, "it uses a variable of the function"


def test_a_class_without_source_counts_by_its_compiled_code():
    def run_in(text: str) -> type:
        variables = {"__name__": "of_a_string", "kart_runtime": kart_runtime}
        exec(text, variables)
        return variables["Train"]

    text = "A = 1\ndef f():\n    return A\n"
    text += "class Train(kart_runtime.TaskOnKart):\n    def run(self):\n        self.dump(f())\n"
    code = code_of(run_in(text))
    assert set(code.definitions) == {f"of_a_string: {name}" for name in ("A", "f", "Train", "Train.run")}
    assert code_of(run_in(text)) == code
    assert code_of(run_in(text.replace("A = 1", "A = 2"))) != code
    assert code_of(run_in(text.replace("return A", "return A + 1"))) != code
    assert code_of(run_in(text.replace("dump(f())", "dump(f() + 1)"))) != code


def test_a_module_in_a_zip_file(project, tmp_path, monkeypatch):
    def code(rate: int):
        archive = tmp_path / f"steps{rate}.zip"
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("zipped.py", SCRIPT.replace("RATE = 2", f"RATE = {rate}"))
        with monkeypatch.context() as patch:
            patch.syspath_prepend(str(archive))
            return project.code("zipped", "Train")

    assert code(2) == code(2)
    assert code(2).fingerprint != code(3).fingerprint


def test_installed_projects_have_the_fingerprints_of_their_sources(project, tmp_path, monkeypatch):
    files = {
        "steps/__init__.py": "",
        "steps/train.py": SCRIPT.replace("import json, math", "import math\nfrom . import more"),
    }
    files["steps/more.py"] = "A = 1\n"
    project.write(files)
    here = project.code("steps.train", "Train")
    project.forget()
    (tmp_path / "site-packages").mkdir()
    (tmp_path / "steps").rename(tmp_path / "site-packages" / "steps")
    monkeypatch.syspath_prepend(str(tmp_path / "site-packages"))
    assert project.code("steps.train", "Train") == here


def test_the_engines_and_libraries_classes_have_none():
    import luigi

    assert code_of(kart_runtime.TaskOnKart) == code_of(luigi.Task) == code_of(int) == ("", {})


def test_the_code_that_counts_is_the_one_that_is_loaded(project, monkeypatch):
    project.write({"steps/__init__.py": "", "steps/train.py": SCRIPT, "steps/more.py": "A = 1\n"})
    cls = project.load("steps.train", "Train")
    loaded = code_of(cls)
    project.edit("steps/train.py", "RATE = 2", "RATE = 3")
    forget()
    assert code_of(cls) == loaded, "the module has not been loaded again"
    importlib.reload(sys.modules["steps.train"])
    again = code_of(sys.modules["steps.train"].Train)
    assert changed(loaded.definitions, again.definitions) == ["steps/train.py: RATE"]


def test_a_file_that_was_edited_between_import_and_first_look_has_no_fingerprint_of_its_own(project, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    project.write({"steps/__init__.py": "", "steps/train.py": SCRIPT})
    cls = project.load("steps.train", "Train")
    project.edit("steps/train.py", "RATE = 2", "RATE = 333")
    mixed = code_of(cls)
    assert "steps/train.py: (edited after it was imported)" in mixed.definitions
    fresh = project.code("steps.train", "Train")
    assert fresh.fingerprint != mixed.fingerprint
    assert not any("edited" in label for label in fresh.definitions)
