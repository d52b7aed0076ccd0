"""`kart config`."""

from __future__ import annotations

import re


def test_config_shows_every_value_and_where_it_comes_from(small_project, kart):
    small_project({"conf/dev/tasks/numbers.yaml": "Total:\n  label: from dev\n"})
    typed = kart("config", "Total.weight=3", "run.seed=5")
    assert typed.lines[0] == "environment dev: conf/base < conf/dev < command line"
    text = re.sub(r" +", " ", typed.out)
    for line in (
        " task RunAll conf/base/run.yaml:1\n",
        " workspace outputs/ conf/base/run.yaml:2\n",
        " seed 5 command line\n",
        " executor null default\n",
        " level WARNING conf/base/logging.yaml:1\n",
        "tasks.numbers.Numbers\n size 4 conf/base/tasks/numbers.yaml:3\n",
        " numbers Numbers default\n",
        " weight 3.0 command line\n",
        " label from dev conf/dev/tasks/numbers.yaml:2\n",
        " options {} default\n",
        "tasks.pipeline.RunAll\n (no parameters)\n",
    ):
        assert line in text
    origins = [line.index("conf/base") for line in typed.lines if line.startswith("  ") and "conf/base" in line]
    assert len(set(origins)) == 1


def test_config_shows_no_password_of_a_redis_server(small_project, kart):
    small_project()
    typed = kart("config", "run.locks=redis://:secret@cache:6379/1")
    assert re.search(r"locks +redis://\*\*\*@cache:6379/1 +command line", typed.out)
    assert "secret" not in typed.out


def test_config_of_one_task_shows_it_alone(small_project, kart):
    small_project()
    typed = kart("config", "Numbers")
    assert [line.split() for line in typed.lines] == [
        ["tasks.numbers.Numbers"],
        ["size", "4", "conf/base/tasks/numbers.yaml:3"],
    ]
    assert kart("config", "Nubmers").code == 2


def test_config_shows_the_engines_parameters_when_set_or_asked_for(small_project, kart):
    small_project({"conf/base/tasks/numbers.yaml": "Numbers:\n  rerun: true\n"})
    assert re.search(r"rerun +true +conf/base/tasks/numbers.yaml:2", kart("config", "Numbers").out)
    everything = kart("config", "Numbers", "--all").out
    assert re.search(r"workspace_directory +outputs/ +conf/base/run.yaml:2", everything)
    assert re.search(r"strict_check +false +default", everything)


def test_config_says_which_values_only_python_gives(small_project, kart, several):
    small_project({"src/PKG/tasks/several.py": several})
    assert re.search(r"source +- +given in Python", kart("config", "Model").out)


def test_config_of_a_subclass_shows_what_it_inherits(small_project, kart):
    small_project({"src/PKG/tasks/heavy.py": "from PKG.tasks.numbers import Total\nclass Heavy(Total): pass\n"})
    assert re.search(r"weight +2.0 +conf/base/tasks/numbers.yaml:5", kart("config", "Heavy").out)
