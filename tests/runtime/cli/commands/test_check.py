"""`kart check`."""

from __future__ import annotations

import pytest

TEST = "def test_it(): pass\n"


def test_check_of_a_project_that_fits(small_project, kart):
    small_project()
    typed = kart("check")
    assert (typed.code, typed.lines) == (0, ["configuration: ok", "layout: ok", "plan: ok"])


def test_check_shows_all_problems_with_3(small_project, kart):
    small_project(
        {
            "conf/prod/tasks/numbers.yaml": "Total:\n  weigth: 1\n",
            "conf/prod/tasks/gone.yaml": "# nothing\n",
            "tests/tasks/test_pipeline.py": None,
            "src/PKG/tasks/pipeline.py": """\
                from kart_runtime import TaskOnKart
                class RunAll(TaskOnKart[int]):
                    def requires(self):
                        return 3
                """,
        }
    )
    typed = kart("check")
    assert typed.code == 3
    assert "error: conf/prod/tasks/numbers.yaml:2: tasks.numbers.Total.weigth" in typed.out
    assert "error: conf/prod/tasks/gone.yaml: has no task module" in typed.out
    assert "error: tests/tasks/test_pipeline.py: missing" in typed.out
    assert "RunAll.requires(): expected a task, got int 3" in typed.out
    assert typed.lines[-1] == "4 problems"


def test_check_of_one_environment_leaves_the_others_alone(small_project, kart):
    small_project({"conf/prod/tasks/numbers.yaml": "Total:\n  weigth: 1\n"})
    assert kart("check", "--env", "ci").code == 0
    assert kart("check", "--env", "prod").code == 3
    assert kart("check", "--env", "prd").code == 2


def test_check_needs_the_variables_of_its_own_environment_only(small_project, kart, monkeypatch):
    monkeypatch.delenv("SMALL_TOKEN", raising=False)
    small_project({"conf/prod/tasks/numbers.yaml": "Total:\n  token: ${oc.env:SMALL_TOKEN}\n"})
    assert kart("check").code == 0
    typed = kart("check", "--env", "prod")
    assert typed.code == 3
    assert "SMALL_TOKEN is not set" in typed.out
    assert typed.lines[-1] == "1 problem"


def test_check_of_a_module_that_cannot_be_imported_names_it_once(small_project, kart):
    small_project({"src/PKG/tasks/broken.py": "import nowhere_at_all\n"})
    typed = kart("check")
    assert typed.code == 3
    assert typed.out.count("broken cannot be imported: ") == 1
    assert typed.lines[-3:] == [
        "layout: not checked: tasks.broken cannot be imported",
        "plan: not checked: the configuration has problems",
        "1 problem",
    ]


def test_an_unset_variable_is_reported_and_stops_only_what_needs_it(small_project, kart, monkeypatch):
    monkeypatch.delenv("SMALL_TOKEN", raising=False)
    numbers = "conf/base/tasks/numbers.yaml"
    small_project({numbers: "Total:\n  token: ${oc.env:SMALL_TOKEN}\nNumbers: {}\n"})
    error = f"error: {numbers}:2: tasks.numbers.Total.token: environment variable SMALL_TOKEN is not set."
    checked = kart("check")
    assert checked.code == 3
    assert checked.lines[0].startswith(error)
    assert checked.lines[1:] == ["layout: ok", "plan: not checked: see the problems above", "1 problem"]
    assert kart("run", "Numbers").code == 0
    assert kart("list").code == kart("plan", "Numbers").code == 0
    shown = kart("config")
    assert shown.code == 0
    (line,) = [line for line in shown.lines if "token" in line]
    assert f"(not set)  {numbers}:2: environment variable SMALL_TOKEN is not set" in line
    for command in ("run", "plan", "tree"):
        refused = kart(command)
        assert refused.code == 2
        assert refused.err.startswith(error)
    assert kart("run", "Total.token=x").code == 0


def test_a_logging_format_is_checked(small_project, kart):
    for text in ("%(levelnam)s", "%(message)q", "%", "no field"):
        small_project({"conf/base/logging.yaml": f"level: INFO\nformat: '{text}'\n"})
        checked = kart("check")
        assert checked.code == 3
        assert checked.lines[0].startswith(
            "error: conf/base/logging.yaml:2: logging.format: expected a format of logging"
        )
    small_project({"conf/base/logging.yaml": "format: '%(asctime)s %(message)s 100%%'\n"})
    assert kart("check").code == 0


def test_check_fix_prints_each_change_and_what_is_left(small_project, kart):
    root = small_project({"tests/tasks/test_pipeline.py": None, "tests/tasks/test_gone.py": "def test_it(): pass\n"})
    typed = kart("check", "--fix")
    assert typed.code == 3
    assert typed.lines[0] == "wrote tests/tasks/test_pipeline.py"
    assert typed.lines[2].startswith("error: tests/tasks/test_gone.py: has no task module")
    assert typed.lines[-1] == "1 problem"
    (root / "tests/tasks/test_gone.py").unlink()
    assert kart("check", "--fix").lines == ["configuration: ok", "layout: ok", "plan: ok"]


NEEDY = """
    import luigi

    from kart_runtime import TaskInstanceParameter, TaskOnKart


    class Needy(TaskOnKart[int]):
        depth: luigi.IntParameter = luigi.IntParameter()
        width: luigi.IntParameter = luigi.IntParameter(default=1)

        def run(self):
            self.dump(self.depth)


    class Above(TaskOnKart[int]):
        needy: TaskInstanceParameter[Needy] = TaskInstanceParameter(Needy, default=Needy)

        def run(self):
            self.dump(self.load(self.needy))
    """


@pytest.mark.parametrize("task", ["Needy", "Above"])
def test_a_parameter_without_a_value_is_told_with_the_lines_to_write(small_project, kart, task):
    run = f"task: {task}\nworkspace: outputs/\n"
    small_project({"src/PKG/tasks/needy.py": NEEDY, "tests/tasks/test_needy.py": TEST, "conf/base/run.yaml": run})
    message = (
        "error: Needy needs a value for depth, which has no default. Write it to conf/base/tasks/needy.yaml:\n"
        "         Needy:\n"
        "           depth: VALUE\n"
        "       or, for one run, add Needy.depth=VALUE to the command, or run a task that sets it.\n"
    )
    for words in (["run", task], ["run"], ["plan", task], ["tree", task]):
        typed = kart(*words)
        assert (typed.code, typed.err.partition("1 problem")[0]) == (2, message)
    assert message in kart("check").out
    assert kart("run", task, "Needy.depth=2").code == 0


@pytest.mark.parametrize(
    ("before", "said", "after"),
    [
        (None, "wrote", "Needy:\n  depth: # write a value\n"),
        ("# mine\n", "changed", "# mine\nNeedy:\n  depth: # write a value\n"),
        ("Needy: {}\nAbove: {}\n", "changed", "Needy:\n  depth: # write a value\nAbove: {}\n"),
        (
            "Needy:\n    # mine\n    width: 2",
            "changed",
            "Needy:\n    depth: # write a value\n    # mine\n    width: 2\n",
        ),
    ],
)
def test_check_fix_writes_the_lines_of_a_parameter_without_a_value(small_project, kart, before, said, after):
    files = {
        "src/PKG/tasks/needy.py": NEEDY,
        "tests/tasks/test_needy.py": TEST,
        "conf/base/run.yaml": "task: Above\nworkspace: outputs/\n",
        "conf/base/tasks/needy.yaml": before,
    }
    root = small_project({name: text for name, text in files.items() if text is not None})
    typed = kart("check", "--fix")
    assert typed.code == 3
    assert typed.lines[0] == f"{said} conf/base/tasks/needy.yaml: write a value for depth"
    path = root / "conf/base/tasks/needy.yaml"
    assert path.read_text() == after
    assert "conf/base/tasks/needy.yaml:" in typed.lines[1]  # the check names the line that waits for a value
    assert "tasks.needy.Needy.depth" in typed.lines[1]
    path.write_text(after.replace("# write a value", "3"))
    assert kart("check").code == 0


def test_check_fix_leaves_a_map_in_braces_to_a_person(small_project, kart):
    text = "Needy: {width: 2}\n"
    files = {"src/PKG/tasks/needy.py": NEEDY, "tests/tasks/test_needy.py": TEST, "conf/base/tasks/needy.yaml": text}
    root = small_project({**files, "conf/base/run.yaml": "task: Above\nworkspace: outputs/\n"})
    assert "Needy needs a value for depth" in kart("check", "--fix").out
    assert (root / "conf/base/tasks/needy.yaml").read_text() == text


def test_a_warning_does_not_change_the_exit_code(small_project, kart):
    small_project({"src/PKG/lib/x.py": "def f(): pass\n"})
    typed = kart("check")
    assert typed.code == 0
    assert typed.lines[1].startswith("warning: tests/lib/test_x.py: missing: no test of src/")
    assert typed.lines[2:] == ["layout: ok", "plan: ok"]


def test_check_says_what_it_did_not_look_at(small_project, kart):
    small_project({"conf/base/run.yaml": "nonsense: 1\n"})
    typed = kart("check")
    assert typed.code == 3
    assert typed.lines[-3:] == ["layout: ok", "plan: not checked: the configuration has problems", "1 problem"]
    small_project({"conf/base/run.yaml": "workspace: outputs/\n"})
    typed = kart("check")
    assert (typed.code, typed.lines[-1]) == (0, "plan: not checked: run.task is not set")


def test_check_looks_at_every_option_and_every_shared_value(small_project, kart):
    small_project(
        {
            "conf/base/shared.yaml": "size: 7\nspare: 1\nbig: 2\n",
            "conf/ci/tasks/numbers.yaml": "Numbers:\n  size: ${shared.size}\n",
            "conf/groups/scale/big.yaml": "Numbers:\n  size: ${shared.big}\n",
            "conf/groups/scale/small.yaml": "Numbers:\n  size: 1\n",
        }
    )
    typed = kart("check")
    assert typed.code == 3
    assert "conf/base/shared.yaml:2: shared.spare: no value uses it" in typed.out
    assert "1 problem" in typed.out
    small_project({"conf/groups/scale/small.yaml": "Numbers:\n  sise: 1\n"})
    typed = kart("check")
    assert "error: conf/groups/scale/small.yaml:2: tasks.numbers.Numbers.sise" in typed.out
