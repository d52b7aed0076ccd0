"""How tasks of one class are told apart."""

from __future__ import annotations

import re
import time

import luigi

from kart_runtime import TaskOnKart
from kart_runtime.plan.task_labels import TaskLabels


def test_tasks_of_one_class_are_told_apart_by_what_differs(small_project, kart, several):
    small_project({"src/PKG/tasks/several.py": several})
    out = kart("plan", "Compare").out
    assert "Model(kind=tree)" in out
    assert "Model(kind=forest)" in out
    assert "Compare  " in out


def test_tasks_that_hold_others_are_told_apart_by_what_differs_in_those(small_project, kart):
    small_project(
        {
            "src/PKG/tasks/wired.py": """\
                from kart_runtime import ListTaskInstanceParameter, TaskInstanceParameter, TaskOnKart
                from PKG.tasks.numbers import Numbers

                class Uses(TaskOnKart[int]):
                    source = TaskInstanceParameter(Numbers)

                class UsesMany(TaskOnKart[int]):
                    sources = ListTaskInstanceParameter(Numbers)

                class Both(TaskOnKart[int]):
                    def requires(self):
                        numbers = [Numbers(size=size) for size in (1, 2)]
                        return [*(Uses(source=one) for one in numbers), *(UsesMany(sources=[one]) for one in numbers)]
                """
        }
    )
    out = kart("plan", "Both").out
    assert "Uses(source=1)" in out
    assert "Uses(source=2)" in out
    assert "UsesMany(sources=[1])" in out
    assert "UsesMany(sources=[2])" in out


def test_tasks_that_differ_by_a_secret_are_told_apart_by_their_ids(small_project, kart, monkeypatch):
    monkeypatch.setenv("SMALL_TOKEN", "hunter2")
    two = """
        from kart_runtime import TaskOnKart
        from PKG.tasks.numbers import Total

        class Two(TaskOnKart[int]):
            def requires(self):
                return [Total(), Total(label="other")]
        """
    small_project(
        {
            "src/PKG/tasks/two.py": two,
            "conf/base/tasks/numbers.yaml": "Total:\n  label: ${oc.env:SMALL_TOKEN}\n",
        }
    )
    out = kart("plan", "Two").out
    assert len(re.findall(r"Total\[[0-9a-f]{8}\]", out)) == 2
    assert "hunter2" not in out


def test_tasks_of_a_block_are_told_apart_by_its_values(small_project, kart):
    small_project(
        {
            "src/PKG/tasks/compared.py": """\
                from kart_runtime import TaskOnKart, configured
                from PKG.tasks.numbers import Numbers

                class Uses(TaskOnKart[int]):
                    def requires(self):
                        return Numbers()

                class Compare(TaskOnKart[int]):
                    def requires(self):
                        with configured("Numbers.size=9"):
                            nine = Uses()
                        return [Uses(), nine]
                """
        }
    )
    out = kart("tree", "Compare").out
    assert "Uses(Numbers.size=9)" in out
    assert "Uses(Numbers.size=4)" in out
    assert "Numbers(size=9)" in out


def test_tasks_that_a_task_yields_are_told_apart_by_their_parameters(small_project, kart):
    small_project(
        {
            "src/PKG/tasks/yielding.py": """\
                import luigi
                from kart_runtime import TaskInstanceParameter, TaskOnKart
                from PKG.tasks.numbers import Numbers

                class Late(TaskOnKart[int]):
                    day: int = luigi.IntParameter(default=1)
                    source = TaskInstanceParameter(Numbers)

                    def run(self):
                        self.dump(self.day)

                class Yields(TaskOnKart[int]):
                    def requires(self):
                        return [Numbers(size=1), Numbers(size=2)]

                    def run(self):
                        for day in (1, 2):
                            for size in (1, 2):
                                yield Late(day=day, source=Numbers(size=size))
                        self.dump(1)
                """
        }
    )
    out = kart("run", "Yields").out
    late = set(re.findall(r"Late\S*(?: \S*=\S*\))?(?= done)", out))
    assert late == {
        "Late(source=Numbers(size=1))",
        "Late(source=Numbers(size=2))",
        "Late(day=2, source=Numbers(size=1))",
        "Late(day=2, source=Numbers(size=2))",
    }


def test_plain_luigi_tasks_have_labels(small_project, kart):
    small_project(
        {
            "src/PKG/tasks/plain.py": """\
                import luigi
                from kart_runtime import TaskOnKart

                class Outside(luigi.ExternalTask):
                    name = luigi.Parameter()
                    token = luigi.Parameter(default="", visibility=luigi.parameter.ParameterVisibility.PRIVATE)

                    def output(self):
                        return luigi.LocalTarget(f"{self.name}.txt")

                class Needs(TaskOnKart[int]):
                    def requires(self):
                        return [Outside(name="a", token="x"), Outside(name="b", token="y")]
                """
        }
    )
    out = kart("plan", "Needs").out
    assert "Outside(name=a)" in out
    assert "Outside(name=b)" in out
    assert "token" not in out


def test_tasks_of_two_workspaces_are_told_apart_by_them():
    tasks = [Numbered(workspace_directory=name) for name in ("first", "second")]
    assert list(map(TaskLabels(tasks), tasks)) == [
        "Numbered(workspace_directory=first)",
        "Numbered(workspace_directory=second)",
    ]


class Numbered(TaskOnKart[int]):
    n: int = luigi.IntParameter(default=0)


def test_the_labels_of_a_thousand_tasks_cost_little():
    tasks = [Numbered(n=n) for n in range(1000)]
    began = time.process_time()
    assert TaskLabels(tasks)(tasks[7]) == "Numbered(n=7)"
    assert time.process_time() - began < 0.3  # 0.02 s where nothing else runs
