"""`kart run`: what is built, what is printed, and the exit code."""

from __future__ import annotations

import logging
import re
import sys

import pytest

SECONDS = r"\(\d+\.\d s\)"

FAILING = '''
    import luigi
    from kart_runtime import TaskOnKart
    from PKG.tasks.numbers import Numbers


    class Bad(TaskOnKart[int]):
        """Fail."""

        n: int = luigi.IntParameter()

        def run(self):
            self.helper()

        def helper(self):
            try:
                1 / 0
            except ZeroDivisionError as error:
                raise ValueError(f"cannot divide {self.n}") from error


    class After(TaskOnKart[int]):
        def requires(self):
            return [Bad(n=1), Bad(n=2), Numbers()]

        def run(self):
            self.dump(1)
'''


def without_seconds(lines):
    return [re.sub(SECONDS, "(S)", line) for line in lines]


def test_each_task_has_a_line_when_it_starts_and_when_it_ends(small_project, kart):
    small_project()
    typed = kart("run")
    assert typed.code == 0
    assert typed.err == ""
    *lines, where = without_seconds(typed.lines)
    assert lines == [
        "[1/3] Numbers ...",
        "[1/3] Numbers done (S)",
        "[2/3] Total ...",
        "[2/3] Total done (S)",
        "[3/3] RunAll ...",
        "[3/3] RunAll done (S)",
        "3 tasks: 3 ran, 0 already complete (S)",
    ]
    assert re.fullmatch(r"RunAll -> outputs/\w+/tasks/pipeline/RunAll_[0-9a-f]{32}\.pkl", where)


def test_the_output_that_is_named_exists(small_project, kart):
    root = small_project()
    where = kart("run").lines[-1].partition(" -> ")[2]
    assert (root / where).is_file()


def test_a_second_run_executes_nothing_and_says_so(small_project, kart):
    small_project()
    kart("run")
    typed = kart("run")
    assert typed.code == 0
    assert without_seconds(typed.lines)[0] == "Nothing to run: 3 tasks: 0 ran, 3 already complete (S)"


def test_a_changed_parameter_runs_only_what_is_downstream(small_project, kart):
    small_project()
    kart("run")
    lines = without_seconds(kart("run", "Total.weight=3").lines)
    assert lines[:7] == [
        "Total: weight 2.0 → 3.0 (command line)",
        "RunAll: upstream: Total (weight 2.0 → 3.0)",
        "[1/2] Total ...",
        "[1/2] Total done (S)",
        "[2/2] RunAll ...",
        "[2/2] RunAll done (S)",
        "3 tasks: 2 ran, 1 already complete (S)",
    ]


def test_several_tasks_and_overrides_may_stand_between_options(small_project, kart):
    small_project()
    typed = kart("run", "Numbers", "--env", "ci", "Total", "--quiet", "Total.weight=3", "--workers", "1")
    assert typed.code == 0
    summary, *outputs = without_seconds(typed.lines)
    assert summary == "2 tasks: 2 ran, 0 already complete (S)"
    assert [line.partition(" -> ")[0] for line in outputs] == ["Numbers", "Total"]


def test_options_may_stand_before_the_command(small_project, kart):
    root = small_project()
    assert kart("--env", "prd", "run").code == 2
    assert kart("--project", str(root / "src"), "run", "--env=ci").code == 0


def test_the_project_of_another_folder_keeps_its_workspace(small_project, kart, tmp_path_factory, monkeypatch):
    root = small_project()
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    typed = kart("run", "Numbers", "--project", str(root))
    assert typed.lines[-1].startswith(f"Numbers -> {root}/outputs/")
    assert (root / "outputs").is_dir()


def test_a_task_that_python_wires_is_built_as_run_task_needs_it(small_project, kart):
    small_project(
        {
            "src/PKG/tasks/models.py": """\
                import luigi
                from kart_runtime import TaskInstanceParameter, TaskOnKart
                from PKG.tasks.numbers import Numbers

                class Model(TaskOnKart[int]):
                    source = TaskInstanceParameter(Numbers)
                    depth = luigi.IntParameter()

                    def run(self):
                        self.dump(self.depth)

                class Compare(TaskOnKart[int]):
                    def requires(self):
                        return [Model(source=Numbers(), depth=depth) for depth in (1, 2)]

                    def run(self):
                        self.dump(0)
                """
        }
    )
    typed = kart("run", "Model", "run.task=Compare")
    assert typed.code == 0
    assert "[3/3] Model(depth=2) ..." in typed.lines
    assert without_seconds(typed.lines)[-3] == "3 tasks: 3 ran, 0 already complete (S)"
    assert kart("plan", "run.task=Compare").lines[-1] == "4 tasks: 1 to run, 3 complete"
    assert kart("run", "Model").code == 2


def test_failures_are_shown_with_the_users_own_frames_and_the_exit_code_is_1(small_project, kart):
    small_project({"src/PKG/tasks/failing.py": FAILING})
    typed = kart("run", "After")
    assert typed.code == 1
    out, err = without_seconds(typed.lines), typed.err
    assert "[1/4] Bad(n=1) FAILED (S): ValueError: cannot divide 1" in out
    assert out[-1] == "4 tasks: 1 ran, 0 already complete, 2 failed, 1 not started (S)"
    assert "Bad(n=1) failed:\nTraceback" in err
    assert "ZeroDivisionError" in err
    assert "in helper" in err
    assert "ValueError: cannot divide 2" in err
    assert "kart_runtime" not in err
    assert "After was not run, because upstream Bad(n=1) did not complete" in err


def test_a_rule_that_a_task_breaks_is_told_without_a_traceback(small_project, kart):
    forgets = "from kart_runtime import TaskOnKart\nclass Forgets(TaskOnKart[int]):\n    def run(self): pass\n"
    small_project({"src/PKG/tasks/forgets.py": forgets})
    typed = kart("run", "Forgets")
    assert typed.code == 1
    assert "Forgets failed:\nNothingDumped: " in typed.err
    assert "Traceback" not in typed.err


def test_every_name_that_is_none_is_told(small_project, kart):
    small_project()
    typed = kart("run", "Totl", "Numbers", "RunAl")
    assert typed.code == 2
    assert typed.err.count("error: unknown task") == 2


def test_quiet_still_shows_what_failed(small_project, kart):
    small_project({"src/PKG/tasks/failing.py": FAILING})
    typed = kart("run", "Bad", "Bad.n=3", "--quiet")
    assert typed.code == 1
    assert without_seconds(typed.lines)[0] == "[1/1] Bad FAILED (S): ValueError: cannot divide 3"
    assert "cannot divide 3" in typed.err


def test_something_from_outside_that_is_missing_is_a_failure(small_project, kart):
    small_project(
        {
            "src/PKG/tasks/outside.py": """\
                import luigi
                from kart_runtime import TaskOnKart, make_target

                class Raw(luigi.ExternalTask):
                    def output(self):
                        return [luigi.LocalTarget("raw.csv"), make_target("more.pkl")]

                class Uses(TaskOnKart[int]):
                    def requires(self):
                        return Raw()

                    def run(self):
                        self.dump(1)
                """
        }
    )
    typed = kart("run", "Uses")
    assert typed.code == 1
    assert "external input not found: Raw: raw.csv, more.pkl" in typed.err


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["Bad"], "error: Bad needs a value for n, which has no default. Write it to conf/base/tasks/failing.yaml:\n"),
        (["Wired"], "cannot run Wired on its own: its parameter upstream takes a task, which"),
        (["Totl"], "error: unknown task Totl\n       did you mean 'Total'?"),
        (
            ["Total.weight"],
            "'Total.weight' is neither a task nor KEY=VALUE. To override it, write Total.weight=VALUE (Total.weight=",
        ),
        (["Total.weight="], "'Total.weight=' sets no value; write Total.weight=null for null"),
        (["run.seed"], "'run.seed' has no value; write run.seed=null for null"),
        (["Total.weight=deep"], "error: command line: tasks.numbers.Total.weight: expected float, got str 'deep'"),
        (["--workers", "0"], "run.workers: expected a number of at least 1, got 0"),
        (["--executor", "serial", "--workers", "2"], "the serial executor cannot have 2 workers"),
        (["--executor", "seral"], "threads, processes, dask, got 'seral'; did you mean 'serial'?"),
        (["--env", "cj"], "unknown environment 'cj'"),
    ],
)
def test_what_cannot_be_run_is_refused_with_2_and_nothing_runs(small_project, kart, words, wanted):
    wired = "from kart_runtime import *\nclass Wired(TaskOnKart[int]):\n    upstream = TaskInstanceParameter()\n"
    root = small_project({"src/PKG/tasks/failing.py": FAILING, "src/PKG/tasks/wired.py": wired})
    typed = kart("run", *words)
    assert typed.code == 2
    assert wanted in typed.err
    assert typed.err.endswith("1 problem; nothing was run or changed.\n")
    assert typed.out == ""
    assert not (root / "outputs").exists()


def test_all_mistakes_are_shown_together(small_project, kart):
    small_project({"conf/base/tasks/numbers.yaml": "Total:\n  weigth: 1\n  label: 3\n"})
    typed = kart("run", "Numbers.size=x")
    assert typed.code == 2
    assert typed.err.splitlines() == [
        "error: conf/base/tasks/numbers.yaml:2: tasks.numbers.Total.weigth: Total has no parameter 'weigth'",
        "       did you mean 'weight'?",
        "       expected: weight, label, options, token",
        "error: conf/base/tasks/numbers.yaml:3: tasks.numbers.Total.label: expected text (put it into quotes), got int 3",  # noqa: E501
        "error: command line: tasks.numbers.Numbers.size: expected int, got str 'x'",
        "3 problems; nothing was run or changed.",
    ]


def test_tasks_in_a_circle_are_refused(small_project, kart):
    small_project(
        {
            "src/PKG/tasks/circle.py": """\
                from kart_runtime import TaskOnKart

                class A(TaskOnKart[int]):
                    def requires(self):
                        return B()

                class B(TaskOnKart[int]):
                    def requires(self):
                        return A()
                """
        }
    )
    typed = kart("run", "A")
    assert typed.code == 2
    assert "Dependency cycle" in typed.err


RAISING = """
    from kart_runtime import TaskOnKart
    from PKG.tasks.numbers import Numbers

    class Raises(TaskOnKart[int]):
        def requires(self):
            return {}["missing"]

    class Refuses(TaskOnKart[int]):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            raise RuntimeError("not today")

    class Yields(TaskOnKart[int]):
        def requires(self):
            return Numbers()

        def run(self):
            yield Raises()
"""


@pytest.mark.parametrize("command", ["run", "plan", "tree"])
@pytest.mark.parametrize(
    ("task", "wanted"), [("Raises", "KeyError: 'missing'"), ("Refuses", "RuntimeError: not today")]
)
def test_when_the_tasks_own_code_raises_before_the_run_it_is_shown_where(small_project, kart, command, task, wanted):
    small_project({"src/PKG/tasks/raising.py": RAISING})
    typed = kart(command, task)
    assert typed.code == 2
    assert "error: planning failed, because task code raised:\nTraceback" in typed.err
    assert "tasks/raising.py" in typed.err
    assert "kart_runtime" not in typed.err
    assert wanted in typed.err
    assert typed.err.endswith("Nothing was run or changed.\n")


def test_when_yielded_tasks_cannot_be_planned_the_run_has_failed(small_project, kart):
    small_project({"src/PKG/tasks/raising.py": RAISING})
    typed = kart("run", "Yields")
    assert typed.code == 1
    assert "KeyError: 'missing'" in typed.err
    assert "Nothing was run" not in typed.err


def test_a_task_that_only_gathers_others_shows_their_outputs(small_project, kart):
    gathers = """
        import luigi
        from PKG.tasks.numbers import Numbers, Total

        class Gathers(luigi.WrapperTask):
            def requires(self):
                return [Numbers(), Total()]
        """
    small_project({"src/PKG/tasks/gathers.py": gathers})
    assert [line.partition(" ->")[0] for line in kart("run", "Gathers").lines[-2:]] == ["Numbers", "Total"]


def test_logging_follows_the_settings_and_is_put_back(small_project, kart):
    small_project(
        {
            "conf/base/logging.yaml": "level: INFO\nformat: 'LOG %(message)s'\n",
            "src/PKG/tasks/talking.py": """\
                import logging
                from kart_runtime import TaskOnKart

                class Talking(TaskOnKart[int]):
                    def run(self):
                        logging.getLogger("mine").info("half way")
                        self.dump(1)
                """,
        }
    )
    level, handlers = logging.getLogger().level, list(logging.getLogger().handlers)
    assert "LOG half way\n" in kart("run", "Talking").err
    assert "half way" not in kart("run", "Talking", "run.seed=1", "logging.level=ERROR").err
    assert (logging.getLogger().level, logging.getLogger().handlers) == (level, handlers)


@pytest.mark.parametrize(
    ("setting", "library", "extra"),
    [
        ("run.workspace=s3://bucket/w", "botocore.exceptions", "s3"),
        ("run.workspace=s3://bucket/w", "boto3.session", "s3"),
        ("run.workspace=gs://bucket/w", "google.api_core.exceptions", "gcs"),
        ("run.locks=redis://127.0.0.1:6379", "redis", "redis"),
        ("run.executor=dask", "distributed", "dask"),
    ],
)
def test_a_missing_extra_is_named_with_what_to_install(small_project, kart, monkeypatch, setting, library, extra):
    root = small_project()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")  # no client has been made for it
    monkeypatch.setitem(sys.modules, library, None)
    commands = ["run", "plan", "gc", "clean"] if "workspace" in setting else ["run"]
    for command in commands:
        typed = kart(command, setting)
        assert typed.code == 2
        assert f"Write kart-runtime[{extra}] into" in typed.err
        assert "Traceback" not in typed.err
        assert "nothing was run or changed" in typed.err.lower()
    assert not (root / "outputs").exists()


@pytest.mark.parametrize(("level", "heard"), [("DEBUG", True), ("INFO", False)])
def test_clients_that_tell_much_are_heard_when_debugging(small_project, kart, level, heard):
    talking = """
        import logging
        from kart_runtime import TaskOnKart

        class Talking(TaskOnKart[int]):
            def run(self):
                logging.getLogger("botocore.credentials").info("found somewhere")
                logging.getLogger("botocore.credentials").warning("soon at an end")
                self.dump(1)
        """
    small_project({"src/PKG/tasks/talking.py": talking})
    err = kart("run", "Talking", f"logging.level={level}").err
    assert ("found somewhere" in err) is heard
    assert "soon at an end" in err
    assert logging.getLogger("botocore").level == logging.NOTSET


def test_a_secret_is_in_no_line_and_no_file(small_project, kart, monkeypatch):
    monkeypatch.setenv("SMALL_TOKEN", "hunter2secret")
    root = small_project({"conf/base/tasks/numbers.yaml": "Total:\n  label: ${oc.env:SMALL_TOKEN}\n"})
    printed = [kart(*words) for words in (["run"], ["plan"], ["tree"], ["config"], ["list"], ["run", "RunAll"])]
    assert all(typed.code == 0 for typed in printed)
    assert not any("hunter2secret" in typed.out + typed.err for typed in printed)
    assert not [path for path in root.rglob("*") if path.is_file() and b"hunter2secret" in path.read_bytes()]
    assert "***" in printed[3].out


def test_a_task_and_what_depends_on_it_run_again(small_project, kart):
    small_project()
    kart("run")
    assert "3 tasks: 3 ran" in kart("run", "Numbers", "--rerun").out
    typed = kart("run", "Total", "--rerun")
    assert typed.code == 0
    assert "2 ran" in typed.out
    assert "Numbers ..." not in typed.out
    assert kart("plan", "Total", "--rerun").lines[-1] == "3 tasks: 2 to run, 1 complete"
    assert kart("run").lines[0].startswith("Nothing to run")


def test_all_tasks_run_again(small_project, kart):
    small_project()
    kart("run")
    assert "3 tasks: 3 ran" in kart("run", "--rerun-all").out


def test_a_task_with_rerun_runs_where_nothing_needs_it(small_project, kart):
    small_project()
    kart("run")
    typed = kart("run", "Numbers.rerun=true")
    assert typed.code == 0
    assert "1 ran" in typed.out


MEASURED = """
    import luigi
    from kart_runtime import TaskInstanceParameter, TaskOnKart, WrapperTask


    class Train(TaskOnKart[int]):
        kind: str = luigi.Parameter(default="tree")

        def run(self):
            self.log_metric("auc", 0.99123)
            self.dump(1)


    class Importance(TaskOnKart[int]):
        model = TaskInstanceParameter(Train)

        def run(self):
            self.dump(1)


    class Importances(WrapperTask):
        def requires(self):
            return [Importance(model=Train(kind=kind)) for kind in ("tree", "forest")]
"""


def test_the_last_lines_say_what_came_out(small_project, kart):
    small_project({"src/PKG/tasks/measured.py": MEASURED})
    first = kart("run", "Train")
    assert first.lines[-2] == "Train: auc 0.9912"
    assert first.lines[-1].startswith("Train -> outputs/")
    again = kart("run", "Train", "--quiet")
    assert without_seconds(again.lines) == [
        "Nothing to run: 1 task: 0 ran, 1 already complete (S)",
        *first.lines[-2:],
    ]


def test_the_last_lines_of_a_wrapper_are_of_the_tasks_that_it_requires(small_project, kart):
    small_project({"src/PKG/tasks/measured.py": MEASURED})
    for _ in range(2):  # the second time, the metrics are those of the records
        lines = kart("run", "Importances", "--quiet").lines[1:]
        assert lines[:2] == ["Train(kind=tree): auc 0.9912", "Train(kind=forest): auc 0.9912"]
        assert [line.partition(" -> ")[0] for line in lines[2:]] == [
            "Importance(model=tree)",
            "Importance(model=forest)",
        ]


def test_a_run_that_failed_says_nothing_of_results(small_project, kart):
    small_project({"src/PKG/tasks/failing.py": FAILING})
    assert " -> " not in kart("run", "After", "--quiet").out


@pytest.mark.parametrize("service", ["s3", "gcs"])
def test_the_metrics_of_complete_tasks_are_read_from_their_run_in_a_bucket(
    small_project, kart, request, tmp_path, service
):
    request.getfixturevalue(service)
    scheme = {"s3": "s3", "gcs": "gs"}[service]
    workspace = f"run.workspace={scheme}://bucket/{tmp_path.name}-metrics"
    small_project({"src/PKG/tasks/measured.py": MEASURED})
    assert kart("run", "Numbers", workspace).code == 0
    first = kart("run", "Importances", workspace, "--quiet")
    assert first.code == 0, first.err
    again = kart("run", "Importances", workspace, "--quiet")
    assert again.lines[1:] == first.lines[1:]
    assert again.lines[1] == "Train(kind=tree): auc 0.9912"
