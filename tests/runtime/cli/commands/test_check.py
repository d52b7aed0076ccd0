"""`kart check`."""

from __future__ import annotations


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
    assert typed.out.count("broken cannot be imported") == 1
