"""`KEY=VALUE`: what it means, and when it means nothing."""

from __future__ import annotations

import pytest

from kart_runtime.project import open_project

NUMBERS = "conf/base/tasks/numbers.yaml"


def test_the_command_line_comes_last_with_any_unique_ending_of_the_name(small_project):
    small_project()
    for key in ("Total.weight", "numbers.Total.weight", "tasks.numbers.Total.weight"):
        with open_project(overrides=[f"{key}=3"]) as session:
            assert session.task("Total")().weight == 3.0
            assert session.origins["tasks.numbers.Total.weight"] == "command line"
    assert session.origins["tasks.numbers.Numbers.size"] == f"{NUMBERS}:3"
    assert session.layers[-1] == "command line"


def test_the_last_of_two_overrides_counts(small_project):
    small_project()
    with open_project(overrides=["Total.weight=3", "Total.weight=4"]) as session:
        assert session.task("Total")().weight == 4.0


def test_text_of_the_command_line_stays_as_typed_where_text_is_wanted(small_project):
    small_project()
    with open_project(overrides=["Total.label=1.10", "Total.options={a: [1]}"]) as session:
        total = session.task("Total")()
        assert total.label == "1.10"
        assert total.options["a"] == (1,)


@pytest.mark.parametrize(
    ("override", "wanted"),
    [
        ("Total.weight", "command line: 'Total.weight' has no value; write Total.weight=null for null"),
        ("Total.weight=", "command line: 'Total.weight=' sets no value; write Total.weight=null for null"),
        ("Total.weight= ", "'Total.weight=' sets no value"),
        ("=3", "'=3' is not an override (expected KEY=VALUE)"),
        ("Total..weight=3", "is not an override"),
        ("Total.weigth=3", "command line: tasks.numbers.Total.weigth: Total has no parameter 'weigth'"),
        ("Total.weight=deep", "command line: tasks.numbers.Total.weight: expected float, got str 'deep'"),
        ("Totl.weight=3", "command line: Totl.weight: unknown task or section Totl. Did you mean 'Total'?"),
        ("rum.seed=3", "unknown task or section rum. Did you mean 'run'?"),
        ("run.sed=3", "command line: run.sed: unknown setting"),
        ("weight=3", "weight: the key lacks its task or section; write Total.weight (expected Task.parameter=value)"),
        ("seed=3", "the key lacks its task or section; write run.seed"),
        ("nothing=3", "no task or section has nothing"),
        ("Total=3", "tasks.numbers.Total: is not a map"),
        ("Total.weight.deeper=3", "expected float, got a map"),
        ("Total.options={a: }", "command line: tasks.numbers.Total.options.a: has no value"),
    ],
)
def test_an_override_that_cannot_be_used_is_refused(small_project, override, wanted, refused):
    small_project()
    found = refused(overrides=[override])
    assert len(found) == 1
    assert wanted in found[0]
