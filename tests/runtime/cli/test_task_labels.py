"""How tasks of one class are told apart."""

from __future__ import annotations

import re


def test_tasks_of_one_class_are_told_apart_by_what_differs(small_project, kart, several):
    small_project({"src/PKG/tasks/several.py": several})
    out = kart("plan", "Compare").out
    assert "Model(kind=tree)" in out
    assert "Model(kind=forest)" in out
    assert "Compare  " in out


def test_tasks_that_differ_by_their_upstream_are_told_apart_by_it_or_by_their_ids(small_project, kart):
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
    assert "Uses(source=Numbers(size=1))" in out
    assert "Uses(source=Numbers(size=2))" in out
    assert len(set(re.findall(r"UsesMany\[[0-9a-f]{8}\]", out))) == 2


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
    assert re.search(r"Uses\[[0-9a-f]{8}\]", out)
    assert "Numbers(size=9)" in out
