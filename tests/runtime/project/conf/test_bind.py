"""Whether the configuration fits the code: what is accepted, what is refused, and how it is told."""

from __future__ import annotations

import pytest

from kart_runtime.project import open_project

NUMBERS = "conf/base/tasks/numbers.yaml"


def test_settings_of_all_tasks_become_their_parameters(small_project):
    small_project({"conf/ci/run.yaml": "seed: 7\nlog_files: false\nfail_on_empty_dump: true\n"})
    with open_project(env="ci") as session:
        task = session.task("Numbers")()
        assert task.fix_random_seed_value == 7
        assert task.should_dump_supplementary_log_files is False
        assert task.fail_on_empty_dump is True


def test_equal_numbers_are_one_task(small_project):
    small_project()
    ids = set()
    for weight in ("2", "2.0", "2e0"):
        with open_project(overrides=[f"Total.weight={weight}"]) as session:
            ids.add(session.task("Total")().make_unique_id())
    assert len(ids) == 1


def test_maps_merge_and_lists_replace(small_project):
    small_project(
        {
            NUMBERS: "Total:\n  options:\n    a: 1\n    deep: {x: [1, 2], y: 1}\n",
            "conf/dev/tasks/numbers.yaml": "Total:\n  options:\n    deep: {x: [3]}\n",
        }
    )
    with open_project() as session:
        options = session.task("Total")().options
    assert (options["a"], options["deep"]["x"], options["deep"]["y"]) == (1, (3,), 1)
    origin = session.origins["tasks.numbers.Total.options"]
    assert origin == f"{NUMBERS}:3, conf/dev/tasks/numbers.yaml:3, {NUMBERS}:4"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (
            "Total:\n  weigth: 2\n",
            f"{NUMBERS}:2: tasks.numbers.Total.weigth: Total has no parameter 'weigth' (expected weight, label",
        ),
        ("Total:\n  weight: deep\n", f"{NUMBERS}:2: tasks.numbers.Total.weight: expected float, got str 'deep'"),
        ("Total:\n  weight: '2'\n", "expected float, got str '2'"),
        ("Total:\n  weight: true\n", "expected float, got bool True"),
        ("Total:\n  weight: null\n", "expected float, got null"),
        ("Numbers:\n  size: 1.5\n", "expected int, got float 1.5"),
        ("Total:\n  label: 1.10\n", "expected text (put it into quotes), got float 1.1"),
        ("Total:\n  weight: {a: 1}\n", "expected float, got a map"),
        ("Total:\n  weight: ???\n", f"{NUMBERS}:2: tasks.numbers.Total.weight: must be set: the value is still ???"),
        (
            "Total:\n  numbers: Numbers\n",
            "tasks.numbers.Total.numbers: its value is a task, and configuration cannot wire tasks: pipeline logic",
        ),
        ("Totl:\n  weight: 2\n", f"{NUMBERS}:1: tasks.numbers.Totl: unknown task. Did you mean 'Total'?"),
        (
            "RunAll:\n  x: 2\n",
            "tasks.numbers.RunAll: tasks.numbers has no task RunAll (expected tasks.pipeline.RunAll)",
        ),
        ("Total: 3\n", f"{NUMBERS}:1: tasks.numbers.Total: is not a map (expected a map of parameters)"),
        ("Total.weight: 3\n", "tasks.numbers.Total.weight: unknown task. Nest maps"),
        (
            "Total:\n  label: ${run.tsk}\n",
            f"{NUMBERS}:2: tasks.numbers.Total.label: cannot be resolved: Interpolation",
        ),
        ("Total:\n  label: ${run.task\n", f"{NUMBERS}:2: tasks.numbers.Total.label: cannot be resolved"),
        ("Total:\n  label: ${.label}\n", f"{NUMBERS}:2: tasks.numbers.Total.label: cannot be resolved"),
        ("Total:\n  label: ${nothing:1}\n", f"{NUMBERS}:2: tasks.numbers.Total.label: cannot be resolved"),
    ],
)
def test_a_value_that_no_task_declares_is_refused(small_project, text, wanted, refused):
    small_project({NUMBERS: text})
    found = refused()
    assert len(found) == 1
    assert wanted in found[0]


def test_a_subclass_takes_the_values_of_its_base_unless_it_has_its_own(small_project):
    small_project(
        {
            "src/PKG/tasks/heavy.py": """\
                from PKG.tasks.numbers import Total
                class Heavy(Total): pass
                class Light(Total): pass
                """,
            "conf/base/tasks/heavy.yaml": "Light: {weight: 0.5}\n",
        }
    )
    with open_project() as session:
        assert session.task("Heavy")().weight == 2.0
        assert session.task("Light")().weight == 0.5


def test_a_task_of_plain_luigi_takes_no_values(small_project, refused):
    small_project(
        {
            "src/PKG/tasks/plain.py": "import luigi\nclass Plain(luigi.Task):\n    x = luigi.IntParameter(default=1)\n",
            "conf/base/tasks/plain.yaml": "Plain: {x: 2}\n",
        }
    )
    assert "Plain is not a TaskOnKart. Only these take parameters from the configuration" in refused()[0]


def test_a_workspace_on_this_machine_is_relative_to_the_project(small_project, monkeypatch, tmp_path_factory):
    root = small_project()
    monkeypatch.chdir(root / "conf")
    with open_project() as session:
        assert session.task("Numbers")().workspace_directory == str(root / "outputs/")
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    with open_project(root, overrides=[f"run.workspace={elsewhere}"]) as session:
        assert session.task("Numbers")().workspace_directory == str(elsewhere)
