"""The plugin of pytest: `given`, `kart_session`, `@pytest.mark.config`, tracebacks without the engine's frames."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

TASKS = """
import luigi
import pandas as pd
from kart_runtime import InputFile, TaskOnKart, parameter

class Sales(InputFile[pd.DataFrame]):
    path: luigi.Parameter[str] = luigi.Parameter(default="data/sales.csv")

class Load(TaskOnKart[pd.DataFrame]):
    rows: int = parameter(default=3)
    def requires(self):
        return Sales()
    def run(self):
        raise RuntimeError("must not run in a test")

class Split(TaskOnKart[dict]):
    data: Load = parameter(default=Load)
    def output(self):
        return {"train": self.make_target("train.pkl"), "test": self.make_target("test.pkl")}
    def run(self):
        frame = self.load(self.data)
        self.dump(frame.iloc[:1], "train")
        self.dump(frame.iloc[1:], "test")

class Total(TaskOnKart[int]):
    split: Split = parameter(default=Split)
    factor: int = parameter(default=1)
    def run(self):
        rows = self.load(self.split)
        self.dump(int(rows["train"].x.sum() + rows["test"].x.sum()) * self.factor)

class Rows(TaskOnKart[int]):
    def requires(self):
        return Sales()
    def run(self):
        self.dump(len(self.load()))
"""

CONF = {
    "pyproject.toml": '[tool.kart]\npackage = "shop"\n',
    "shop/__init__.py": "",
    "shop/tasks/__init__.py": "",
    "shop/tasks/all.py": TASKS,
    "conf/base/tasks/all.yaml": "Total:\n  factor: 10\n",
    "conf/base/run.yaml": "task: Total\n",
    "conf/ci/tasks/all.yaml": "Total:\n  factor: 100\n",
    "conf/prod/tasks/all.yaml": "Total:\n  factor: 1000\n",
    "data/sales.csv": "x\n1\n2\n",
}


@pytest.fixture
def project(pytester: pytest.Pytester) -> Path:
    for name, text in CONF.items():
        path = pytester.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return pytester.path


def run(pytester: pytest.Pytester, test: str, *options: str) -> pytest.RunResult:
    folder = pytester.path / "tests"
    folder.mkdir(exist_ok=True)
    (folder / "test_it.py").write_text(test)
    return pytester.runpytest_subprocess("-q", *options, "tests")


HEAD = """
import pandas as pd
import pytest
from kart_runtime import build
"""


def test_given_results_and_configuration_in_a_project(pytester: pytest.Pytester, project: Path) -> None:
    result = run(
        pytester,
        HEAD
        + """
FRAME = pd.DataFrame({"x": [1, 2, 3]})

def test_a_class_stands_for_all_of_its_tasks(given, kart_session):
    Load, Split, Total = map(kart_session.task, ["Load", "Split", "Total"])
    given(Load, FRAME)
    assert build(Total()) == 600
    assert build(Total(split=Split(data=Load(rows=7)))) == 600

def test_nothing_is_left_of_the_test_before(kart_session):
    with pytest.raises(Exception, match="must not run"):
        build(kart_session.task("Total")())

def test_one_task(given, kart_session):
    Load, Split, Total = map(kart_session.task, ["Load", "Split", "Total"])
    given(Load(rows=7), FRAME)
    given(Load(rows=8), FRAME * 2)
    assert build(Total(split=Split(data=Load(rows=7)))) == 600
    assert build(Total(split=Split(data=Load(rows=8)))) == 1200
    with pytest.raises(Exception, match="must not run"):
        build(Total())

def test_several_outputs(given, kart_session):
    given(kart_session.task("Split"), {"train": FRAME, "test": FRAME})
    assert build(kart_session.task("Total")()) == 1200

def test_worker_processes_see_it(given, kart_session):
    given(kart_session.task("Load"), FRAME)
    assert build(kart_session.task("Total")(), executor="processes") == 600

def test_a_file_of_the_user_is_not_touched(given, kart_session):
    given(kart_session.task("Sales"), FRAME)
    assert build(kart_session.task("Rows")()) == 3

@pytest.mark.config("Total.factor=2")
class TestMarked:
    def test_of_a_class(self, given, kart_session):
        given(kart_session.task("Load"), FRAME)
        assert build(kart_session.task("Total")()) == 12

    @pytest.mark.config("Total.factor=3")
    def test_of_a_test(self, given, kart_session):
        given(kart_session.task("Load"), FRAME)
        assert build(kart_session.task("Total")()) == 18

@pytest.mark.config(env="prod")
def test_of_an_environment_without_asking_for_the_session():
    from shop.tasks.all import Total
    assert Total().factor == 1000

def test_outputs_are_in_the_folder_of_the_test(given, kart_session, tmp_path):
    given(kart_session.task("Load"), FRAME)
    total = kart_session.task("Total")()
    build(total)
    assert str(total.output().path()).startswith(str(tmp_path))
""",
    )
    result.assert_outcomes(passed=10)
    assert (project / "data/sales.csv").read_text() == CONF["data/sales.csv"]
    assert not (project / "resources").exists()


def test_mistakes_are_told_without_frames_of_the_engine(pytester: pytest.Pytester, project: Path) -> None:
    result = run(
        pytester,
        HEAD
        + """
def test_wrong_type(given, kart_session):
    given(kart_session.task("Load"), [1])
    build(kart_session.task("Total")())

def test_keys(given, kart_session):
    given(kart_session.task("Split"), {"train": 1})
    build(kart_session.task("Total")())

def test_twice(given, kart_session):
    given(kart_session.task("Load"), pd.DataFrame())
    given(kart_session.task("Load"), pd.DataFrame())

def test_no_task(given):
    given(3, 4)

def test_failing(kart_session):
    build(kart_session.task("Total")())

@pytest.mark.config("Total.factr=3")
def test_typo(): ...

@pytest.mark.config(env="prd")
def test_environment(): ...
""",
    )
    result.assert_outcomes(failed=5, errors=2)
    text = result.stdout.str()
    assert "kart_runtime/" not in text.partition("short test summary")[0]
    assert "dumped a list, but its class declares TaskOnKart" in text
    assert "given(Split, ...) needs a dict with the keys 'train', 'test'" in text
    assert "given() has already stated the result of" in text
    assert "given() takes a task, or a class of tasks, and not 3" in text
    assert "RuntimeError: must not run in a test" in text
    assert "Did you mean 'factor'?" in text
    assert "Did you mean 'prod'?" in text


GUIDES = Path(__file__).parents[2] / "docs" / "how-to"


def python_blocks(name: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", (GUIDES / name).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_the_examples_of_the_guides(pytester: pytest.Pytester) -> None:
    (tasks,) = python_blocks("declare-parameters.md")
    files = {
        "pyproject.toml": '[tool.kart]\npackage = "shop"\n',
        "shop/tasks/data/load.py": tasks,
        "shop/tasks/model/train.py": "from shop.tasks.data.load import LoadSales, TrainModel\n",
        "conf/base/tasks/data/load.yaml": "TrainModel:\n  factor: 1\n",
        "conf/prod/tasks/data/load.yaml": "TrainModel:\n  factor: 5\n",
    }
    for block in python_blocks("test-tasks.md"):
        name, _, text = block.partition("\n")
        files[name.removeprefix("# ")] = text
    for name, text in files.items():
        path = pytester.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    pytester.runpytest_subprocess("-q", "tests", "--import-mode=importlib").assert_outcomes(passed=2)


def test_without_a_project(pytester: pytest.Pytester) -> None:
    (pytester.path / "shop_tasks.py").write_text(TASKS)
    result = run(
        pytester,
        HEAD
        + """
from shop_tasks import Load, Total

def test_given(given):
    given(Load, pd.DataFrame({"x": [1, 2]}))
    assert build(Total()) == 3

@pytest.mark.config("Total.factor=2")
def test_config(): ...
""",
        "-o",
        "pythonpath=.",
    )
    result.assert_outcomes(passed=1, errors=1)
    assert "not inside a kart project" in result.stdout.str()
    assert not (pytester.path / "resources").exists()


def test_pytest_finds_the_plugin_by_itself(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_subprocess("--markers")
    assert "@pytest.mark.config(*overrides, env=None)" in result.stdout.str()
    fixtures = pytester.runpytest_subprocess("--fixtures").stdout.str()
    assert "given -- " in fixtures
    assert "kart_session -- " in fixtures


SOURCES = """
from pathlib import Path
import pandas as pd, polars as pl, pytest
from kart_runtime import InputFile, Published, SqlSource, TaskOnKart, build

class Orders(SqlSource[pd.DataFrame]):
    query = "select 1 as x"

class Sales(InputFile[pd.DataFrame]):
    path = "data/sales.csv"
    options = {"sep": ";"}

class Bert(TaskOnKart[Path]):
    def run(self):
        raise RuntimeError("must not run in a test")

class Parts(TaskOnKart[pl.LazyFrame]):
    def output(self):
        return self.make_folder_target("parts", partition_by="x")

class Use(TaskOnKart[list]):
    def requires(self):
        return [Orders(), Sales(), Bert(), Parts(), Published[Path]("models/bert"), Published[int]("models/n.pkl")]
    def run(self):
        orders, sales, bert, parts, published, number = self.load()
        texts = [(path / "config.json").read_text() for path in (bert, published)]
        self.dump([int(orders.x.sum()), int(sales.x.sum()), parts.collect().height, number, *texts])

@pytest.mark.parametrize("options", [{}, {"executor": "threads", "workers": 2}])
def test_every_kind(given, tmp_path, options):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(name)
    frame = pd.DataFrame({"x": [1, 2]})
    given(Orders, frame)
    given(Sales, frame)
    given(Bert, tmp_path / "one")
    given(Parts, pl.DataFrame({"x": [1, 2], "y": [1, 2]}))
    given(Published[Path]("models/bert"), tmp_path / "two")
    given(Published[int]("models/n.pkl"), 7)
    assert build(Use(), **options) == [3, 3, 2, 7, "one", "two"]

def test_all_of_a_class(given, tmp_path):
    given(Published[Path], tmp_path)
    given(Bert, tmp_path / "missing")
    assert build(Published[Path]("models/bert")) == tmp_path
    with pytest.raises(Exception, match="missing, which is no folder"):
        build(Bert())
"""


def test_results_of_folders_sources_and_published_outputs(pytester: pytest.Pytester) -> None:
    run(pytester, SOURCES).assert_outcomes(passed=3)
