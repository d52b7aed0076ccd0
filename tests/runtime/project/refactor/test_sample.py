"""`remove_sample`: the sample goes, what a person wrote stays, and what is in the way is named."""

from __future__ import annotations

import json
import runpy
import subprocess
from pathlib import Path

import pytest

from kart_runtime.errors import ConfigError
from kart_runtime.project import Project, check_layout, open_project
from kart_runtime.project.problems import split_errors
from kart_runtime.project.refactor.sample import remove_sample

write_sample = runpy.run_path(str(Path(__file__).parents[4] / "template" / "sample.py"))["write_sample"]

LOAD = '''
    """Load."""

    from kart_runtime import TaskOnKart

    from PKG.lib.rows import read


    class LoadRows(TaskOnKart[list[int]]):
        """Rows."""

        def run(self) -> None:
            self.dump(read())
'''
PIPELINE = '''
    """The whole pipeline."""

    from kart_runtime import TaskInstanceParameter, TaskOnKart

    @@ sample
    from PKG.tasks.data.load import LoadRows

    @@ end

    class RunAll(TaskOnKart[str]):
        """All."""

    @@ sample
        rows = TaskInstanceParameter(LoadRows, default=LoadRows)
    @@ otherwise
        kind = "none"
    @@ end

        def run(self) -> None:
            self.dump("x")
'''
TEST = "def test_it() -> None:\n    assert True\n"
FILES = {
    "src/PKG/tasks/numbers.py": None,
    "conf/base/tasks/numbers.yaml": None,
    "conf/base/tasks/pipeline.yaml": None,
    "tests/tasks/test_numbers.py": None,
    "src/PKG/lib/__init__.py": "",
    "src/PKG/lib/rows.py": "def read() -> list[int]:\n    return [1]\n",
    "src/PKG/tasks/data/__init__.py": "",
    "src/PKG/tasks/data/load.py": LOAD,
    "src/PKG/tasks/pipeline.py": PIPELINE,
    "conf/base/tasks/data/load.yaml": "LoadRows: {}\n",
    "tests/lib/conftest.py": "import pytest\n\n\n@pytest.fixture\ndef rows() -> list[int]:\n    return [1]\n",
    "tests/lib/test_rows.py": "from PKG.lib.rows import read\n\n\ndef test_read(rows):\n    assert read() == rows\n",
    "tests/tasks/data/test_load.py": TEST,
    "tests/tasks/test_pipeline.py": TEST + "@@ sample\n\n\ndef test_sample() -> None:\n    assert True\n@@ end\n",
    "data/rows.csv": "1\n",
    "data/README.md": "# Data\n@@ sample\nrows\n@@ end\n",
    "README.md": "# Mine\n@@ sample\nLoadRows loads.\n@@ otherwise\nWrite a task.\n@@ end\nMore.\n",
}
DEPENDENCIES = '[tool.mine]\nx = [\n@@ sample unless numpy\n  "numpy",\n@@ end\n  "pandas",\n]\n'


@pytest.fixture
def sampled(small_project):
    """Return a function that makes a project with a sample, and then writes files of a person's own."""

    def make(files=None):
        root = small_project(FILES, kart=DEPENDENCIES)
        package = next((root / "src").iterdir()).name
        write_sample(root, package)
        for name, text in (files or {}).items():
            path = root / name.replace("PKG", package)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.replace("PKG", package), newline="")
        return root

    return make


def contents(root):
    paths = (path for path in root.rglob("*") if path.is_file() and not {".git", "__pycache__"} & {*path.parts})
    package = next((root / "src").iterdir()).name
    return {path.relative_to(root).as_posix().replace(package, "PKG"): path.read_bytes() for path in paths}


def refusals(**options):
    """Return what is in the way of a removal, in a project that stays as it is."""
    before = contents(Path.cwd())
    with pytest.raises(ConfigError) as caught:
        remove_sample(Project.find(), **options)
    assert contents(Path.cwd()) == before
    return [str(error).replace(Project.find().package, "PKG") for error in split_errors(caught.value)]


def commit(root):
    for words in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "x"]):
        author = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
        subprocess.run(["git", *author, *words], cwd=root, check=True, capture_output=True)


def test_the_sample_goes_and_what_is_left_fits(sampled):
    root = sampled()
    assert not any(b"@@ " in data for data in contents(root).values())
    result = remove_sample(Project.find())
    result.draft.commit()
    assert sorted(contents(root)) == [
        "README.md",
        "conf/base/logging.yaml",
        "conf/base/run.yaml",
        "conf/ci/run.yaml",
        "data/README.md",
        "pyproject.toml",
        "src/PKG/__init__.py",
        "src/PKG/lib/__init__.py",
        "src/PKG/tasks/pipeline.py",
        "tests/tasks/test_pipeline.py",
    ]
    assert (root / "README.md").read_text() == "# Mine\nWrite a task.\nMore.\n"
    assert (root / "data/README.md").read_text() == "# Data\n"
    assert 'x = [\n  "pandas",\n]\n' in (root / "pyproject.toml").read_text()
    assert (root / "tests/tasks/test_pipeline.py").read_text() == TEST
    assert (result.changed, result.notes, result.documents) == ([], [], [])
    assert check_layout(Project.find()) == []
    assert open_project().task().__name__ == "RunAll"


def test_without_a_sample_the_message_says_so(sampled):
    sampled()
    remove_sample(Project.find()).draft.commit()
    (refusal,) = refusals()
    assert refusal.startswith(".kart-sample.json is missing, so this project has no sample, or not any more;")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "src/PKG/tasks/mine.py",
            "from PKG.tasks.data.load import LoadRows\n",
            "src/PKG/tasks/mine.py, line 1: uses the sample: from PKG.tasks.data.load import LoadRows. Change",
        ),
        ("src/PKG/lib/mine.py", "\nimport PKG.lib.rows as r\n", "src/PKG/lib/mine.py, line 2: uses the sample"),
        ("src/PKG/lib/mine.py", "from PKG.lib import rows\n", "src/PKG/lib/mine.py, line 1: uses the sample"),
        ("src/PKG/lib/mine.py", "from .rows import read\n", "src/PKG/lib/mine.py, line 1: uses the sample"),
        ("look.py", 'task = session.task("data.load.LoadRows")\n', "look.py, line 1: uses the sample"),
        ("look.py", 'open("data/rows.csv")\n', "look.py, line 1: uses the sample"),
        ("tests/lib/test_mine.py", "def test_it(rows): ...\n", "tests/lib/test_mine.py, line 1: uses the sample"),
        ("conf/prod/run.yaml", "seed: 1\ntask: LoadRows\n", "conf/prod/run.yaml:2: uses the sample: task: LoadRows"),
        (
            "notebooks/mine.ipynb",
            json.dumps({"cells": [{"cell_type": "code", "source": ["from PKG.lib.rows import read"]}]}),
            "notebooks/mine.ipynb, cell 1, line 1: uses the sample",
        ),
    ],
)
def test_a_use_of_the_sample_is_in_the_way(sampled, name, text, message):
    sampled({name: text})
    (refusal,) = refusals(changed=True)
    assert refusal.startswith(message)


def test_what_only_looks_like_a_use_is_not_in_the_way(sampled):
    files = {
        "src/PKG/lib/mine.py": "def rows() -> str:\n    return 'rows of LoadRows'\n",
        "tests/test_mine.py": "def test_it(rows): ...\n",  # a fixture of this folder, not of tests/lib
        "conf/prod/run.yaml": "seed: 1 # LoadRows\n",
    }
    root = sampled(files)
    result = remove_sample(Project.find())
    result.draft.commit()
    assert result.documents == ["conf/prod/run.yaml", f"src/{Project.find().package}/lib/mine.py"]
    assert (root / "conf/prod/run.yaml").is_file()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("src/PKG/lib/rows.py", "def read(): return [2]\n", "src/PKG/lib/rows.py: is part of the sample, and you have"),
        ("conf/base/tasks/data/load.yaml", "# mine\n", "conf/base/tasks/data/load.yaml: sets other values of the"),
        ("conf/prod/tasks/data/load.yaml", "LoadRows: {}\n", "conf/prod/tasks/data/load.yaml: sets other values of"),
    ],
)
def test_what_a_person_has_changed_goes_only_if_they_say_so_and_git_has_it(sampled, name, text, message):
    root = sampled({name: text})
    (refusal,) = refusals()
    assert refusal.startswith(message)
    (refusal,) = refusals(changed=True)
    assert "not in a git repository" in refusal
    commit(root)
    path = root / name.replace("PKG", Project.find().package)
    path.write_text(text + "# more\n")
    (refusal,) = refusals(changed=True)
    assert refusal.startswith("not committed yet: ")
    result = remove_sample(Project.find(), changed=True, allow_dirty=True)
    result.draft.commit()
    assert result.changed == [path.relative_to(root).as_posix()]
    assert not path.exists()
    assert check_layout(Project.find()) == []


def test_code_that_a_person_has_changed_keeps_its_lines_and_is_in_the_way(sampled):
    root = sampled()
    path = next(root.glob("src/*/tasks/pipeline.py"))
    path.write_text(path.read_text().replace("rows = Task", "more = rows = Task"))
    (refusal,) = refusals(changed=True)
    assert refusal.startswith("src/PKG/tasks/pipeline.py: is about the sample, and you have changed it. Take out what")


def test_edits_elsewhere_in_a_file_stay(sampled):
    root = sampled()
    (root / "README.md").write_text("# Other\r\nLoadRows loads.\r\nMore and more.\r\n", newline="")
    path = next(root.glob("src/*/tasks/pipeline.py"))
    path.write_text(path.read_text() + "\n\nMORE = 1\n")
    remove_sample(Project.find()).draft.commit()
    assert (root / "README.md").read_bytes() == b"# Other\r\nWrite a task.\r\nMore and more.\r\n"
    assert "LoadRows" not in path.read_text()
    assert path.read_text().endswith("MORE = 1\n")


def test_a_text_that_has_changed_is_named(sampled):
    root = sampled()
    (root / "README.md").write_text("# Mine\nLoadRows loads rows.\nLoadRows loads.\nLoadRows loads.\n")
    result = remove_sample(Project.find())
    assert result.notes == ["README.md has changed where it is about the sample: look it through."]
    assert result.documents == ["README.md"]


def test_a_library_that_is_used_stays(sampled):
    root = sampled({"src/PKG/lib/mine.py": "import numpy.linalg\n"})
    result = remove_sample(Project.find())
    assert result.notes == [
        f'pyproject.toml keeps "numpy": src/{Project.find().package}/lib/mine.py imports numpy.',
    ]
    result.draft.commit()
    assert '"numpy"' in (root / "pyproject.toml").read_text()


def test_a_folder_with_a_task_of_ones_own_stays_a_package(sampled):
    root = sampled({"src/PKG/tasks/data/mine.py": "X = 1\n", "tests/tasks/data/test_mine.py": TEST})
    remove_sample(Project.find()).draft.commit()
    assert sorted(path.name for path in root.glob("src/*/tasks/data/*.py")) == ["__init__.py", "mine.py"]
