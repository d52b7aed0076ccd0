"""A plan decides about every task, says why, and changes nothing."""

from __future__ import annotations

from pathlib import Path

import luigi
import pytest

from kart_runtime import TaskOnKart, build
from kart_runtime.errors import BuildFailed, CyclicDependency, OutputClash, PlanError
from kart_runtime.plan.decisions import Action, Reason, make_plan
from kart_runtime.task.naming import display_name


class Step(TaskOnKart[int]):
    number = luigi.IntParameter(default=0)

    def requires(self):
        return Step(number=self.number - 1) if self.number else []

    def run(self):
        self.dump(self.number)


class Outside(luigi.ExternalTask):
    def output(self):
        return luigi.LocalTarget("outside.txt")


class NeedsOutside(TaskOnKart[int]):
    def requires(self):
        return Outside()

    def run(self):
        self.dump(1)


def reasons(made):
    return [made.decision_by_task[task].reason for task in made.tasks]


def test_nothing_is_there():
    made = make_plan([Step(number=2)])
    assert [task.number for task in made.tasks] == [0, 1, 2]
    assert reasons(made) == [Reason.OUTPUT_MISSING] * 3
    assert "Step_" in made.decision_by_task[Step(number=2)].text
    assert made.requires[Step(number=2)] == (Step(number=1),)


def test_everything_is_there():
    build(Step(number=2))
    assert reasons(make_plan([Step(number=2)])) == [Reason.NOT_NEEDED, Reason.NOT_NEEDED, Reason.COMPLETE]
    assert reasons(make_plan([Step(number=2)], check_all=True)) == [Reason.COMPLETE] * 3


def test_what_only_a_complete_task_needs_is_not_needed():
    build(Step(number=2))
    Step(number=0).output().remove()
    made = make_plan([Step(number=2)], check_all=True)
    assert reasons(made) == [Reason.DELETED, Reason.COMPLETE, Reason.COMPLETE]
    assert made.with_action(Action.RUN) == []
    Step(number=1).output().remove()
    Step(number=2).output().remove()
    assert reasons(make_plan([Step(number=2)])) == [Reason.OUTPUT_MISSING] * 3


def test_rerun_runs_this_task_and_nothing_else():
    build(Step(number=2))
    made = make_plan([Step(number=2, rerun=True)])
    assert made.decision_by_task[Step(number=2, rerun=True)].reason is Reason.RERUN
    assert [task.number for task in made.with_action(Action.RUN)] == [2]


def test_what_comes_from_outside_is_missing_until_it_is_there(tmp_path):
    made = make_plan([NeedsOutside()])
    assert made.decision_by_task[Outside()].action is Action.MISSING
    assert "outside.txt" in made.decision_by_task[Outside()].text
    (tmp_path / "outside.txt").write_text("")
    assert make_plan([NeedsOutside()]).decision_by_task[Outside()].reason is Reason.COMPLETE


def test_several_roots_share_what_they_share():
    made = make_plan([Step(number=2), Step(number=1), Step(number=2)])
    assert made.roots == (Step(number=2), Step(number=1))
    assert [task.number for task in made.tasks] == [0, 1, 2]


def test_a_diamond_of_many_layers_is_walked_once():
    asked = []

    class Layer(TaskOnKart[int]):
        depth = luigi.IntParameter()
        side = luigi.IntParameter()

        def requires(self):
            asked.append(self)
            return [Layer(depth=self.depth - 1, side=side) for side in (0, 1)] if self.depth else []

    assert len(make_plan([Layer(depth=60, side=0)]).tasks) == 121
    assert len(asked) == 121


def test_a_chain_of_twenty_thousand():
    assert len(make_plan([Step(number=20_000)]).tasks) == 20_001


def test_a_plan_writes_nothing(tmp_path):
    make_plan([Step(number=3)], check_all=True)
    assert list(tmp_path.iterdir()) == []


def test_circles_of_luigi_tasks_are_found():
    class First(luigi.Task):
        def requires(self):
            return Second()

    class Second(luigi.Task):
        def requires(self):
            return First()

    with pytest.raises(CyclicDependency, match="First"):
        make_plan([First()])


def test_a_question_that_raises_names_its_task():
    class Broken(TaskOnKart[int]):
        def complete(self):
            raise ZeroDivisionError("oh")

    with pytest.raises(PlanError, match=r"Broken.*raised ZeroDivisionError: oh") as caught:
        make_plan([Broken()])
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_task_whose_complete_is_its_own():
    class Always(TaskOnKart[int]):
        def complete(self):
            return True

        def run(self):
            raise AssertionError("must not run")

    class Never(TaskOnKart[int]):
        def output(self):
            return []

    assert reasons(make_plan([Always(), Never()])) == [Reason.COMPLETE, Reason.INCOMPLETE]


def test_tasks_are_described_by_family_and_id():
    assert display_name(Step(number=1)) == f"Step[{Step(number=1).make_unique_id()[:8]}]"
    assert display_name(Outside()).startswith("Outside[")


class Fixed(TaskOnKart[int]):
    value = luigi.IntParameter()

    def output(self):
        return self.make_target("fixed.pkl", use_unique_id=False)

    def run(self):
        self.dump(self.value)


class PassesOn(TaskOnKart[int]):
    def requires(self):
        return Fixed(value=1)

    def output(self):
        return self.input()

    def run(self):
        pass


def test_two_tasks_that_would_write_one_file_are_refused():
    with pytest.raises(OutputClash, match=r"Fixed\[.*value=2.* and .*Fixed\[.*value=1.*fixed\.pkl") as caught:
        make_plan([Fixed(value=1), Fixed(value=2)])
    assert caught.value.url == "./resources/fixed.pkl"
    with pytest.raises(OutputClash):
        build([Fixed(value=1), Fixed(value=2)])
    assert not Path("resources/fixed.pkl").exists()


def test_a_task_may_pass_on_what_it_requires():
    assert build(PassesOn()) == 1


def test_what_a_run_yields_must_not_write_the_file_of_another():
    class Yields(TaskOnKart[int]):
        def requires(self):
            return Fixed(value=1)

        def run(self):
            Fixed(value=1).output().remove()
            yield Fixed(value=2)

    with pytest.raises(BuildFailed, match="would both write"):
        build(Yields())
