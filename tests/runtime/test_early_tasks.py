"""Tasks that are made before there is a configuration are what the configuration makes them once it is in force."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import luigi
import pytest

from kart_runtime import ListTaskInstanceParameter, TaskInstanceParameter, TaskOnKart, build
from kart_runtime.plan.decisions import make_plan
from kart_runtime.task.nested import iter_flat
from kart_runtime.task.parameters import Override, overriding


class One(TaskOnKart[int]):
    n = luigi.IntParameter(default=1)
    factor = luigi.IntParameter(default=1)

    def run(self):
        self.dump(self.n * self.factor)


class Custom(One):
    """A task with a constructor of its own."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **{**kwargs, "factor": 3})


ONE = One()
TWICE = One(factor=2)


class Sum(TaskOnKart[int]):
    def run(self):
        self.dump(sum(iter_flat(self.load())) + 1000)


class ByDefault(Sum):
    one = TaskInstanceParameter(One, default=ONE)


class ByClass(Sum):
    one = TaskInstanceParameter(One, default=One)


class ByList(Sum):
    tasks = ListTaskInstanceParameter(default=[ONE, TWICE])


class ByListOfClasses(Sum):
    tasks = ListTaskInstanceParameter(default=[One])


class ByRequires(Sum):
    def requires(self):
        return {"a": ONE, "b": [TWICE]}

    def run(self):
        self.dump(self.load(ONE) + self.load([TWICE])[0] + 1000)


class ByAttribute(Sum):
    one = One(factor=2)

    def requires(self):
        return self.one

    def run(self):
        self.dump(self.load(self.one) + 1000)


class ByYield(Sum):
    def run(self):
        target = yield ONE
        self.dump(target.load() + 1000)


class ByDynamicRequirements(Sum):
    def run(self):
        yield luigi.DynamicRequirements([ONE])
        self.dump(ONE.output().load() + 1000)


class ByArgument(Sum):
    inner = TaskInstanceParameter()


EARLY = ByArgument(inner=ByArgument(inner=TWICE))
CUSTOM = Custom()


def configured(tmp_path, **values):
    workspace = Override(str(tmp_path / "outputs"), "conf/base/run.yaml:1")
    values = {name: Override(value, "command line") for name, value in {"n": 100, **values}.items()}
    return overriding({TaskOnKart: {"workspace_directory": workspace}, One: values})


KINDS = [
    (ByDefault, 1001, 1100),
    (ByClass, 1001, 1100),
    (ByList, 1003, 1300),
    (ByListOfClasses, 1001, 1100),
    (ByRequires, 1003, 1300),
    (ByAttribute, 1002, 1200),
    (ByYield, 1001, 1100),
    (ByDynamicRequirements, 1001, 1100),
    (lambda: ByArgument(inner=TWICE), 1002, 1200),
    (lambda: EARLY, 2002, 2200),
    (lambda: CUSTOM, 3, 300),
    (lambda: ONE, 1, 100),
]


@pytest.mark.parametrize("options", [{}, {"executor": "processes", "workers": 2}], ids=["serial", "processes"])
@pytest.mark.parametrize(("make", "plain", "expected"), KINDS, ids=lambda case: getattr(case, "__name__", None))
def test_the_configuration_reaches_a_task_that_was_made_before_it(tmp_path, make, plain, expected, options):
    with configured(tmp_path):
        assert build(make(), **options) == expected
    assert not Path("resources").exists()
    assert build(make(), **options) == plain


def test_a_given_argument_counts_more_than_the_configuration(tmp_path):
    early = One(n=7)
    with configured(tmp_path):
        assert build(ByArgument(inner=early)) == 1007


def test_the_plan_and_the_id_agree(tmp_path):
    plain = ByDefault().make_unique_id()
    with configured(tmp_path, n=1):
        assert ByDefault().make_unique_id() == plain
    with configured(tmp_path):
        assert ByDefault().make_unique_id() != plain
        assert {task.n for task in make_plan([ByRequires()]).graph.tasks if isinstance(task, One)} == {100}


def test_a_plan_of_an_early_task_is_that_of_the_configuration(tmp_path):
    early = ByRequires()
    with configured(tmp_path):
        assert {task.n for task in make_plan([early]).graph.tasks if isinstance(task, One)} == {100}


def test_a_clone_of_an_early_task_has_the_configured_values(tmp_path):
    with configured(tmp_path):
        assert (TWICE.clone().n, TWICE.clone().factor, TWICE.clone(n=5).n) == (100, 2, 5)


def test_a_task_of_another_configuration_stays_what_it_is(tmp_path):
    with configured(tmp_path, n=5):
        early = One()
    with configured(tmp_path):
        assert build(ByArgument(inner=early)) == 1005


def test_without_a_configuration_nothing_is_made_again():
    assert ByDefault().one is ONE
    assert ByRequires().requires()["a"] is ONE
    assert ByClass().one is One()


def test_a_class_that_needs_arguments_is_no_default():
    class Needs(TaskOnKart[int]):
        n = luigi.IntParameter()

    class Holds(TaskOnKart[int]):
        one = TaskInstanceParameter(Needs, default=Needs)

    with pytest.raises(ValueError, match=r"Holds: .* 'one' cannot be used: Needs requires a value for 'n'"):
        Holds()


@pytest.mark.slow
@pytest.mark.parametrize("default", ["One()", "One"])
def test_a_project_says_the_same_in_config_plan_and_run(tmp_path, default):
    files = {
        "pyproject.toml": '[project]\nname = "app"\nversion = "0"\n[tool.kart]\npackage = "app"\n',
        "src/app/__init__.py": "",
        "src/app/tasks/__init__.py": "",
        "src/app/tasks/a.py": textwrap.dedent(f"""
            import luigi
            from kart_runtime import TaskInstanceParameter, TaskOnKart

            class One(TaskOnKart[int]):
                n: luigi.IntParameter = luigi.IntParameter(default=1)

                def run(self):
                    self.dump(self.n)

            class Two(TaskOnKart[int]):
                one: TaskInstanceParameter[One] = TaskInstanceParameter(One, default={default})

                def run(self):
                    print("two is", self.load(self.one) + 1)
                    self.dump(self.load(self.one) + 1)
        """),
        "conf/base/tasks/a.yaml": "One:\n  n: 100\nTwo: {}\n",
        "conf/base/run.yaml": "task: Two\nworkspace: outputs/\n",
        "tests/tasks/test_a.py": "",
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)

    def kart(*words):
        command = [sys.executable, "-m", "kart_runtime", *words]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    assert "100" in kart("config")
    assert "two is 101" in kart("run")
    assert "two is 8" in kart("run", "One.n=7")
    assert "Nothing to run" in kart("run", "One.n=7")
    assert not (tmp_path / "resources").exists()
