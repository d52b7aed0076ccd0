"""Changed code, inputs and outputs are noticed, and lead to a run, a warning or nothing."""

from __future__ import annotations

import logging
import os
import sys
import textwrap
from importlib import import_module, invalidate_caches
from pathlib import Path

import luigi
import pytest
from luigi import task_register

from kart_runtime import TaskOnKart, build
from kart_runtime.errors import BuildFailed, ObjectCorrupt
from kart_runtime.history.records import forget_records
from kart_runtime.plan.changes import Changes
from kart_runtime.plan.decisions import Action, Reason, make_plan
from kart_runtime.settings import BuildSettings

RERUN = BuildSettings(code_changed="rerun")

PIPELINE = """
    import luigi
    from kart_runtime import TaskOnKart
    from library_LABEL import scale

    RAN = []

    class First(TaskOnKart[int]):
        number: luigi.IntParameter = luigi.IntParameter(default=1)

        def run(self):
            RAN.append("First")
            self.dump(scale(self.number))

    class Second(TaskOnKart[int]):
        def requires(self):
            return First()

        def run(self):
            RAN.append("Second")
            self.dump(self.load(First()) + 1)

    class Third(TaskOnKart[int]):
        def requires(self):
            return Second()

        def run(self):
            RAN.append("Third")
            self.dump(self.load(Second()) * 2)
"""

LIBRARY = """
    FACTOR = 10

    def scale(number):
        return number * FACTOR

    def unused():
        return 1
"""


@pytest.fixture
def pipeline(tmp_path, monkeypatch):
    """Return a function that writes the pipeline and its library, changed as told, and imports them anew."""
    monkeypatch.syspath_prepend(str(tmp_path))
    label = f"{os.getpid()}_{id(tmp_path)}"

    def load(*edits: tuple[str, str], library: str = LIBRARY):
        code = PIPELINE
        for old, new in edits:
            assert old in code + library
            code, library = code.replace(old, new), library.replace(old, new)
        Path(f"library_{label}.py").write_text(textwrap.dedent(library))
        Path(f"pipeline_{label}.py").write_text(textwrap.dedent(code.replace("LABEL", label)))
        for name in (f"library_{label}", f"pipeline_{label}"):
            sys.modules.pop(name, None)
        invalidate_caches()
        sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
        try:
            module = import_module(f"pipeline_{label}")
        finally:
            sys.dont_write_bytecode = before
        task_register.Register.clear_instance_cache()
        forget_records()
        return module

    yield load
    for name in (f"library_{label}", f"pipeline_{label}"):
        sys.modules.pop(name, None)


def ran(module, root="Third", settings=RERUN):
    module.RAN.clear()
    build(getattr(module, root)(), settings=settings)
    return list(module.RAN)


def test_a_changed_function_runs_the_task_that_uses_it_and_what_gets_another_result(pipeline):
    assert ran(pipeline()) == ["First", "Second", "Third"]
    assert ran(pipeline()) == []
    changed = pipeline(("FACTOR = 10", "FACTOR = 20"))
    decision = make_plan([changed.Third()], changes=Changes(RERUN)).decision_by_task[changed.First()]
    assert decision.reason is Reason.CODE_CHANGED
    assert "FACTOR" in decision.text
    assert "library_" in decision.text
    assert ran(changed) == ["First", "Second", "Third"]
    assert ran(changed) == []


def test_an_equal_result_ends_the_reruns(pipeline):
    ran(pipeline())
    changed = pipeline(("return number * FACTOR", "return FACTOR * number"))
    plan = make_plan([changed.Third()], changes=Changes(RERUN))
    assert [decision.action for decision in plan.decisions] == [Action.RUN, Action.MAYBE, Action.MAYBE]
    assert ran(changed) == ["First"]
    assert ran(changed) == []


def test_what_no_task_uses_may_change(pipeline):
    ran(pipeline())
    assert ran(pipeline(("return 1", "return 2"), ("FACTOR = 10", "FACTOR = 10  # ten"))) == []


def test_by_default_a_change_is_a_warning(pipeline, caplog):
    ran(pipeline())
    changed = pipeline(("FACTOR = 10", "FACTOR = 20"))
    with caplog.at_level(logging.WARNING):
        assert ran(changed, settings=BuildSettings()) == []
    assert "its code changed: library_" in caplog.text
    assert "First" in caplog.text
    caplog.clear()
    assert ran(changed, settings=BuildSettings(code_changed="ignore")) == []
    assert not caplog.records


def test_outputs_without_a_record_are_not_warned_about(pipeline, caplog):
    ran(pipeline())
    for path in Path("resources/log").rglob("*.*"):
        if path.is_file():
            path.unlink()
    assert ran(pipeline(("FACTOR = 10", "FACTOR = 20"))) == []
    assert not caplog.records


def test_a_deleted_intermediate_result_is_computed_again_only_if_needed(pipeline):
    module = pipeline()
    ran(module)
    module.Second().output().remove()
    assert ran(module) == []
    assert ran(pipeline(("FACTOR = 10", "FACTOR = 20"))) == ["First", "Second", "Third"]


@pytest.mark.parametrize(
    "options", [{}, {"executor": "threads", "workers": 2}, {"executor": "processes", "workers": 2}]
)
def test_a_rebuilt_input_of_other_content_runs_what_loaded_it(pipeline, options):
    module = pipeline()
    ran(module)
    before = Path(module.Third().output().path()).read_bytes()
    changed = pipeline(("FACTOR = 10", "FACTOR = 20"))
    build(changed.Third(), settings=RERUN, **options)
    assert Path(changed.Third().output().path()).read_bytes() != before
    plan = make_plan([changed.Third()], changes=Changes(RERUN))
    assert not plan.to_run


def edit(target, data):
    Path(target.path()).write_bytes(data)


def test_a_changed_output_is_found_before_it_is_used(pipeline):
    module = pipeline()
    ran(module)
    edit(module.First().output(), b"\x80\x05K\x02.")
    forget_records()
    plan = make_plan([module.Third()], changes=Changes(RERUN))
    assert plan.decision_by_task[module.Second()].reason is Reason.INPUT_CHANGED
    assert "First_" in plan.decision_by_task[module.Second()].detail
    with pytest.raises(BuildFailed) as caught:
        ran(module)
    (error,) = caught.value.errors.values() if hasattr(caught.value, "errors") else [caught.value.__cause__]
    assert isinstance(error, ObjectCorrupt)
    assert "First" in str(error)
    assert "Second" in str(error)


def test_a_damaged_output_can_be_recomputed(pipeline):
    module = pipeline()
    ran(module)
    third = build(module.Third())
    edit(module.First().output(), b"")
    forget_records()
    assert ran(module, settings=BuildSettings(code_changed="rerun", on_corrupt="recompute")) == ["First"]
    assert build(module.Third()) == third


def test_a_damaged_result_is_recomputed_when_it_is_returned(pipeline):
    module = pipeline()
    ran(module)
    target = Path(module.Third().output().path())
    times = target.stat()
    data = bytearray(target.read_bytes())
    data[-2] ^= 1
    with target.open("r+b") as file:
        file.write(data)
    os.utime(target, ns=(times.st_atime_ns, times.st_mtime_ns))  # as a disk that loses a bit
    with pytest.raises(ObjectCorrupt, match="Third"):
        build(module.Third())
    assert build(module.Third(), on_corrupt="recompute") == 22


def test_a_copied_workspace_is_still_known(pipeline):
    module = pipeline()
    ran(module)
    Path("resources").rename("elsewhere")
    Path("elsewhere").rename("resources2")
    task_register.Register.clear_instance_cache()
    root = module.Third(workspace_directory="./resources2/")
    assert root.complete()


class Named(TaskOnKart[int]):
    number: luigi.IntParameter = luigi.IntParameter(default=1)

    def output(self):
        return self.make_target("named.pkl", use_unique_id=False)

    def run(self):
        self.dump(self.number)


def test_a_file_of_a_fixed_name_belongs_to_the_parameters_that_wrote_it():
    assert build(Named(number=1)) == 1
    assert not Named(number=2).complete()
    assert build(Named(number=2)) == 2
    assert build(Named(number=1)) == 1
    assert Named(number=1).complete()


class PassesOn(TaskOnKart[int]):
    def requires(self):
        return Named(number=3)

    def output(self):
        return self.input()

    def run(self):
        raise AssertionError("its output is that of what it requires")


def test_a_task_may_pass_on_the_file_of_another_one():
    build(Named(number=3))
    assert PassesOn().complete()


def local_class(number):
    class Local(TaskOnKart[int]):
        def run(self):
            self.dump(number)

    return Local


def test_a_local_class_does_not_read_what_another_one_of_its_name_wrote():
    assert build(local_class(1)()) == 1
    assert build(local_class(2)()) == 2
    assert build(local_class(2)()) == 2


def test_with_a_setting_of_the_configuration_a_task_runs_where_nothing_needs_it(pipeline):
    from kart_runtime.task.parameters import Override, overriding

    module = pipeline()
    ran(module)
    with overriding({module.First: {"rerun": Override(True, "command line")}}):
        assert ran(module) == ["First"]


@pytest.mark.parametrize("state", ["failed", "complete", "replacing"])
@pytest.mark.parametrize("code_changed", ["warn", "rerun", "ignore"])
def test_a_run_that_died_while_it_replaced_outputs_is_done_again(pipeline, state, code_changed):
    module = pipeline()
    ran(module)
    (path,) = Path("resources/log/runs").glob("*.jsonl")
    done = next(line for line in path.read_text().splitlines() if '"task": "Second"' in line)
    lines = [done.replace('"state": "done"', f'"state": "{each}"') for each in dict.fromkeys(["replacing", state])]
    path.with_name("99991231T000000Z-00000000.jsonl").write_text("".join(f"{line}\n" for line in lines))
    forget_records()
    expected = ["Second"] if state == "replacing" else []  # the others say how the run ended
    assert ran(module, settings=BuildSettings(code_changed=code_changed)) == expected
