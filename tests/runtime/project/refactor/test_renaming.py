"""Renaming of a task: what follows it, and what does not."""

from __future__ import annotations

import ast
import json
import runpy
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kart_runtime.errors import ConfigError
from kart_runtime.project import Project, check_layout, rename_task
from kart_runtime.project.problems import split_errors

# Test folders are no packages, so what they share is read as a file.
shared = runpy.run_path(str(Path(__file__).parents[1] / "conftest.py"))
small_project, write_files = shared["small_project"], shared["write_files"]

TRAIN = '''
    """Train."""

    from kart_runtime import TaskOnKart


    class TrainModel(TaskOnKart[int]):
        """A TrainModel."""

        def run(self) -> None:
            self.dump(1)  # as TrainModel does
'''
FILES = {
    "src/PKG/tasks/__init__.py": "",
    "src/PKG/tasks/model/__init__.py": "",
    "src/PKG/tasks/model/train.py": TRAIN,
    "conf/base/tasks/model/train.yaml": "# of the model\nTrainModel: {}\n",
    "conf/prod/tasks/model/train.yaml": "TrainModel:\n  rerun: false\n",
    "tests/tasks/model/test_train.py": '"""Tests of TrainModel."""\n\ndef test_it():\n    assert True\n',
}


def contents(root: Path) -> dict[str, bytes]:
    """Return the bytes of each file of a project."""
    paths = (path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


def rename(old: str, new: str) -> None:
    rename_task(Project.find(), old, new).draft.commit()


def package_of(root: Path) -> str:
    return Project.find(root).package


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("from PKG.tasks.model.train import TrainModel\nTrainModel()\n",
         "from PKG.tasks.model.fit import FitModel\nFitModel()\n"),
        ("from PKG.tasks.model.train import TrainModel as T\nT()\n",
         "from PKG.tasks.model.fit import FitModel as T\nT()\n"),
        ("from PKG.tasks.model import train\ntrain.TrainModel()\n",
         "from PKG.tasks.model import fit\nfit.FitModel()\n"),
        ("from PKG.tasks.model import train as t\nt.TrainModel()\n",
         "from PKG.tasks.model import fit as t\nt.FitModel()\n"),
        ("import PKG.tasks.model.train\nPKG.tasks.model.train.TrainModel()\n",
         "import PKG.tasks.model.fit\nPKG.tasks.model.fit.FitModel()\n"),
        ("import PKG.tasks.model.train as t\nt.TrainModel()\n", "import PKG.tasks.model.fit as t\nt.FitModel()\n"),
        ("from PKG.tasks.model.train import *\nTrainModel()\n", "from PKG.tasks.model.fit import *\nFitModel()\n"),
        ("from PKG.tasks.model.train import (\n    TrainModel,  # the model\n)\nx = [TrainModel]\n",
         "from PKG.tasks.model.fit import (\n    FitModel,  # the model\n)\nx = [FitModel]\n"),
        ("def f():\n    from PKG.tasks.model.train import TrainModel\n    return TrainModel\n",
         "def f():\n    from PKG.tasks.model.fit import FitModel\n    return FitModel\n"),
        # A name that is taken: the import changes, and what the file calls it stays.
        ("from PKG.tasks.model.train import TrainModel\nFitModel = TrainModel\n",
         "from PKG.tasks.model.fit import FitModel as TrainModel\nFitModel = TrainModel\n"),
        ("from PKG.tasks.model.train import TrainModel\nx = f'{TrainModel.__name__} {TrainModel!r:>{9}}'\n",
         "from PKG.tasks.model.fit import FitModel\nx = f'{FitModel.__name__} {FitModel!r:>{9}}'\n"),
        ("from PKG.tasks.model.train import TrainModel\ndef f(x: 'TrainModel') -> 'list[TrainModel]': ...\n",
         "from PKG.tasks.model.fit import FitModel\ndef f(x: 'FitModel') -> 'list[FitModel]': ...\n"),
        ("session.task('TrainModel')\nsession.task('model.train.TrainModel')\n",
         "session.task('FitModel')\nsession.task('model.fit.FitModel')\n"),
        ("x = ['TrainModel.rerun=true', f'TrainModel.rerun={1}', 'tasks.model.train.TrainModel.rerun']\n",
         "x = ['FitModel.rerun=true', f'FitModel.rerun={1}', 'tasks.model.fit.FitModel.rerun']\n"),
        ("patch('PKG.tasks.model.train.TrainModel.run')\npatch('PKG.tasks.model.train.helper')\n",
         "patch('PKG.tasks.model.fit.FitModel.run')\npatch('PKG.tasks.model.fit.helper')\n"),
        # Text that only looks like it.
        ("x = 'TrainModel'\ny = 'TrainModels.rerun=true'\nz = 'other.TrainModel'\nMyTrainModel = 1\n", None),
        ("class TrainModel: ...\nTrainModel()\n", None),
        ("from elsewhere import TrainModel\nTrainModel()\n", None),
        ("from elsewhere import x\nx.TrainModel()\n", None),
    ],
)  # fmt: skip
def test_each_form_of_a_reference(small_project, before, after):
    root = small_project({**FILES, "tests/test_uses.py": before})
    package = package_of(root)
    rename("TrainModel", "model.fit.FitModel")
    text = (root / "tests/test_uses.py").read_text()
    assert text == (before if after is None else after).replace("PKG", package)


def test_the_three_files_move_in_all_environments(small_project):
    root = small_project({**FILES, "conf/base/run.yaml": "task: model.train.TrainModel # all\nworkspace: outputs/\n"})
    package = package_of(root)
    rename("TrainModel", "models.fit.FitModel")
    after = contents(root)
    assert after["conf/base/tasks/models/fit.yaml"] == b"# of the model\nFitModel: {}\n"
    assert after["conf/prod/tasks/models/fit.yaml"] == b"FitModel:\n  rerun: false\n"
    assert after["conf/base/run.yaml"].startswith(b"task: models.fit.FitModel # all\n")
    assert after["tests/tasks/models/test_fit.py"].startswith(b'"""Tests of FitModel."""')
    assert b'"""A FitModel."""' in after[f"src/{package}/tasks/models/fit.py"]
    assert b"# as FitModel does" in after[f"src/{package}/tasks/models/fit.py"]
    assert f"src/{package}/tasks/models/__init__.py" in after
    assert not any("model/" in name for name in after)
    assert not (root / f"src/{package}/tasks/model").exists()
    assert check_layout(Project.find()) == []


def test_references_in_yaml(small_project):
    text = "Numbers:\n  size: 4\nTotal:\n  label: ${tasks.model.train.TrainModel.rerun} # TrainModel\n"
    root = small_project({**FILES, "conf/base/tasks/numbers.yaml": text})
    rename("TrainModel", "model.fit.FitModel")
    assert "${tasks.model.fit.FitModel.rerun} # TrainModel" in (root / "conf/base/tasks/numbers.yaml").read_text()


def test_exports_of_packages_follow(small_project):
    root = small_project(
        {
            **FILES,
            "src/PKG/tasks/model/__init__.py": "from .train import TrainModel\n\n__all__ = ['TrainModel']\n",
            "src/PKG/tasks/__init__.py": "from PKG.tasks.model import TrainModel as TrainModel\n",
            "src/PKG/lib/x.py": "from PKG.tasks.model import TrainModel\nfrom PKG import tasks\nTrainModel, tasks.x\n",
        }
    )
    package = package_of(root)
    rename("TrainModel", "FitModel")
    after = contents(root)
    assert after[f"src/{package}/tasks/model/__init__.py"] == b"from .train import FitModel\n\n__all__ = ['FitModel']\n"
    assert after[f"src/{package}/lib/x.py"].endswith(b"import tasks\nFitModel, tasks.x\n")
    rename("FitModel", "model.fit.FitModel")
    assert contents(root)[f"src/{package}/tasks/model/__init__.py"].startswith(b"from .fit import FitModel\n")


def test_cells_of_notebooks(small_project):
    cells = [
        {"cell_type": "markdown", "source": ["TrainModel"]},
        {"cell_type": "code", "source": ["%matplotlib inline\n", "from PKG.tasks.model.train import TrainModel\n"]},
        {"cell_type": "code", "source": "!ls\nTrainModel()  # é"},
    ]
    text = json.dumps({"cells": cells, "nbformat": 4}, indent=1, ensure_ascii=False) + "\n"
    root = small_project({**FILES, "notebooks/a.ipynb": text})
    package = package_of(root)
    before = contents(root)
    result = rename_task(Project.find(), "TrainModel", "model.fit.FitModel")
    result.draft.commit()
    after = json.loads((root / "notebooks/a.ipynb").read_text())["cells"]
    assert after[1]["source"] == ["%matplotlib inline\n", f"from {package}.tasks.model.fit import FitModel\n"]
    assert after[2]["source"] == "!ls\nFitModel()  # é"
    assert result.mentions == ["notebooks/a.ipynb:cell 1, line 1: TrainModel"]
    rename("FitModel", "model.train.TrainModel")
    assert contents(root) == before


SEVERAL = '''\
"""Several."""

import luigi
from kart_runtime import TaskOnKart

SIZE = 3


# The first.
class First(TaskOnKart[int]):
    size: int = luigi.IntParameter(default=SIZE)

    def run(self) -> None:
        self.dump(self.size)


class Second(TaskOnKart[int]):
    def run(self) -> None:
        self.dump(2)
'''
OF_SEVERAL = '''\
"""Tests."""

import pytest

from PKG.tasks.several import First, Second

EXPECTED = 3


@pytest.fixture
def size():
    return EXPECTED


def test_first(size):
    assert First().size == size


def test_second():
    assert Second()
'''


def test_only_one_class_of_several_moves(small_project):
    root = small_project(
        {
            "src/PKG/tasks/several.py": SEVERAL,
            "conf/base/tasks/several.yaml": "First:\n  size: 4\n# of the second\nSecond: {}\n",
            "tests/tasks/test_several.py": OF_SEVERAL,
            "src/PKG/lib/x.py": "import PKG.tasks.several as s\ns.First, s.Second\n",
        }
    )
    package = package_of(root)
    rename("First", "parts.one.First")
    after = {
        name.replace(package, "PKG"): text.decode().replace(package, "PKG") for name, text in contents(root).items()
    }
    assert after["src/PKG/tasks/parts/one.py"] == (
        '"""First."""\n\nimport luigi\nfrom kart_runtime import TaskOnKart\n\nfrom PKG.tasks.several import SIZE\n\n\n'
        + SEVERAL[SEVERAL.index("# The first") : SEVERAL.index("\n\nclass Second")]
    )
    assert after["src/PKG/tasks/several.py"] == (
        '"""Several."""\n\nfrom kart_runtime import TaskOnKart\n\nSIZE = 3\n\n\n'
        + SEVERAL[SEVERAL.index("class Second") :]
    )
    assert after["conf/base/tasks/parts/one.yaml"] == "First:\n  size: 4\n"
    assert after["conf/base/tasks/several.yaml"] == "# of the second\nSecond: {}\n"
    assert "test_first" in after["tests/tasks/parts/test_one.py"]
    assert "EXPECTED = 3" in after["tests/tasks/parts/test_one.py"]
    assert "from PKG.tasks.parts.one import First\n" in after["tests/tasks/parts/test_one.py"]
    assert "First" not in after["tests/tasks/test_several.py"]
    assert after["src/PKG/lib/x.py"] == (
        "import PKG.tasks.several as s\nfrom PKG.tasks.parts.one import First\nFirst, s.Second\n"
    )
    for name, text in after.items():
        if name.endswith(".py"):
            ast.parse(text)
    assert check_layout(Project.find()) == []
    rename("First", "several.First")
    assert check_layout(Project.find()) == []


def test_a_class_that_would_make_two_modules_import_each_other_stays(small_project):
    module = SEVERAL.replace("self.dump(2)", "self.dump(First().size)")
    files = {"src/PKG/tasks/several.py": module, "tests/tasks/test_several.py": OF_SEVERAL}
    root = small_project({**files, "conf/base/tasks/several.yaml": "First: {}\nSecond: {}\n"})
    before = contents(root)
    with pytest.raises(ConfigError, match=r"First uses SIZE of its module, and line 17 uses First: the two modules"):
        rename("First", "parts.one.First")
    assert contents(root) == before


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("TrainModl", "FitModel", "unknown task TrainModl"),
        ("train", "FitModel", "unknown task train"),
        ("TrainModel", "TrainModel", "is the name that the task has"),
        ("TrainModel", "model.train.TrainModel", "is the name that the task has"),
        ("TrainModel", "Numbers", "there is a task Numbers already"),
        ("TrainModel", "numbers.Numbers", "there is a task Numbers already"),
        ("TrainModel", "fit_model", "'fit_model' is not a valid name of a task class"),
        ("TrainModel", "model.fit", "'fit' in 'model.fit' is not a valid name of a task class"),
        ("TrainModel", "Model.fit.FitModel", "'Model' in 'Model.fit.FitModel' is not a valid name of a module"),
        ("TrainModel", "model._fit.FitModel", "is not a valid name of a module"),
        ("TrainModel", "model.FitModel", "is a folder, so a module cannot have this name"),
        ("TrainModel", "numbers.deep.FitModel", "is a module, so a folder cannot have this name"),
        ("TrainModel", "TaskOnKart", "is not a valid name of a task class"),
        ("TrainModel", "", "is not a valid name of a task class"),
        ("TrainModel", "a.b." + "C" * 90, "longer than 80 characters"),
    ],
)
def test_refusals_change_nothing(small_project, old, new, message):
    root = small_project(FILES)
    before = contents(root)
    with pytest.raises(ConfigError) as caught:
        rename(old, new)
    assert message in str(caught.value)
    assert contents(root) == before


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("tests/test_x.py", "TrainModel = (\n", "tests/test_x.py: is not Python that this version can read: line 1"),
        ("notebooks/x.ipynb", "TrainModel", "notebooks/x.ipynb: is not a notebook"),
        ("conf/prod/run.yaml", "task: [TrainModel\n", "conf/prod/run.yaml: is not valid YAML: line 2"),
        ("tests/test_x.py", b"# TrainModel \xe9\n", "tests/test_x.py: cannot be read as Python text"),
        (
            "conf/base/tasks/model.yaml",
            "train:\n  TrainModel: {}\n",
            "conf/base/tasks/model.yaml: line 1: sets tasks.model",
        ),
    ],
)
def test_a_file_that_cannot_be_changed_is_named(small_project, file, text, message):
    root = small_project(FILES)
    (root / file).parent.mkdir(exist_ok=True)
    (root / file).write_bytes(text if isinstance(text, bytes) else text.encode())
    before = contents(root)
    with pytest.raises(ConfigError) as caught:
        rename("TrainModel", "model.fit.TrainModel" if "model.yaml" in file else "FitModel")
    assert message in str(caught.value)
    assert contents(root) == before


def test_broken_files_that_do_not_mention_the_task_are_nobody_s_business(small_project):
    root = small_project({**FILES, "tests/test_x.py": "(\n"})
    rename("TrainModel", "FitModel")
    assert (root / "tests/test_x.py").read_text() == "(\n"


def test_all_broken_files_are_named_at_once(small_project):
    small_project({**FILES, "tests/test_x.py": "TrainModel(\n", "tests/test_y.py": "TrainModel)\n"})
    with pytest.raises(ConfigError) as caught:
        rename("TrainModel", "FitModel")
    assert len(split_errors(caught.value)) == 2


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_all_or_nothing(small_project, monkeypatch, error):
    root = small_project(FILES)
    before = contents(root)
    replaced = Path.replace

    def failing(self, target):
        if Path(target).name == "test_train.py" and before:
            raise error
        return replaced(self, target)

    monkeypatch.setattr(Path, "replace", failing)
    with pytest.raises((ConfigError, KeyboardInterrupt)) as caught:
        rename("TrainModel", "FitModel")
    monkeypatch.undo()
    assert contents(root) == before
    if isinstance(error, OSError):
        assert "test_train.py: cannot be changed: No space left on device" in str(caught.value)


def test_a_file_that_changes_meanwhile_is_not_overwritten(small_project):
    root = small_project(FILES)
    result = rename_task(Project.find(), "TrainModel", "FitModel")
    mine = root / "tests/tasks/model/test_train.py"
    mine.write_text("# mine\n")
    before = contents(root)
    with pytest.raises(ConfigError, match="has changed meanwhile"):
        result.draft.commit()
    assert contents(root) == before


NAMES = st.sampled_from(["FitModel", "Fit", "TrainModel2", "A"])
MODULES = st.sampled_from(["", "model.fit.", "other.train.", "fit.", "a.b.c.", "train."])
LINES = st.lists(
    st.sampled_from(
        [
            "from PKG.tasks.model.train import TrainModel\n",
            "import PKG.tasks.model.train\nx = PKG.tasks.model.train.TrainModel()\n",
            "import PKG.tasks.model.train as t\ny = t.TrainModel\n",
            "from PKG.tasks.model import train as u\n",
            "z = 'model.train.TrainModel'\n",
            "w = 'TrainModel.rerun=true'\r\n",
            "# é TrainModel\n",
            "\x0c\n",
            "def f(train):\n    return train, TrainModel\n",
        ]
    ),
    max_size=6,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=NAMES, module=MODULES, lines=LINES)
def test_there_and_back_gives_the_same_bytes(small_project, name, module, lines):
    root = small_project(FILES)
    text = "".join(lines).replace("PKG", package_of(root))
    (root / "tests/test_uses.py").write_bytes(text.encode())
    before = contents(root)
    rename("TrainModel", f"{module}{name}")
    assert contents(root) != before
    rename(name, f"{'model.train.' if module else ''}TrainModel")
    assert contents(root) == before
