"""Groups: `scale=big` reads `conf/groups/scale/big.yaml` above all other files."""

from __future__ import annotations

import pytest

from kart_runtime.project import open_project
from kart_runtime.project.conf.layers import environments
from kart_runtime.project.project import Project

GROUPS = {
    "conf/groups/scale/small.yaml": "Numbers:\n  size: 1\n",
    "conf/groups/scale/big.yaml": "tasks:\n  numbers:\n    Numbers: {size: 100}\nnumbers.Total:\n  weight: 9\n",
    "conf/groups/speed/fast.yaml": "run:\n  workers: 8\n",
}


def size(**options):
    with open_project(**options) as session:
        return session.task("Numbers")().size, session.origins["tasks.numbers.Numbers.size"]


def test_an_option_is_above_the_files_and_below_the_command_line(small_project):
    small_project({**GROUPS, "conf/dev/tasks/numbers.yaml": "Numbers:\n  size: 5\n"})
    assert size() == (5, "conf/dev/tasks/numbers.yaml:2")
    assert size(overrides=["scale=big"]) == (100, "conf/groups/scale/big.yaml:3")
    assert size(overrides=["Numbers.size=7", "scale=big"]) == (7, "command line")
    session = open_project(overrides=["scale=big", "speed=fast"])
    assert session.settings.run.workers == 8
    assert session.layers[-3:] == ("conf/groups/scale/big.yaml", "conf/groups/speed/fast.yaml", "command line")
    assert [(choice.group, choice.option) for choice in session.choices] == [("scale", "big"), ("speed", "fast")]


def test_a_default_is_a_value_that_an_environment_may_change(small_project):
    project = small_project(
        {**GROUPS, "conf/base/groups.yaml": "scale: small\n", "conf/prod/groups.yaml": "scale: ${oc.env:SCALE,big}\n"}
    )
    assert size()[0] == 1
    assert size(env="prod")[0] == 100
    assert size(overrides=["groups.scale=big"])[0] == 100
    assert size(overrides=["scale=null"])[0] == 4
    assert environments(Project.find(project)) == ["ci", "prod"]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("scale=bgi", "group scale has no option bgi: no conf/groups/scale/bgi.yaml (expected one of big, small). Did"),
        ("scael=big", "unknown group scael (expected one of scale, speed). Did you mean 'scale'?"),
        ("groups.scael=big", "groups.scael: unknown group scael: conf/groups/scael does not exist"),
        ("scale=small,big", "group scale has no option small,big"),
        ("scale=", "'scale=' sets no value"),
        ("size=3", "the key lacks its task or section; write Numbers.size"),
    ],
)
def test_an_unknown_word_is_refused(small_project, refused, word, expected):
    small_project(GROUPS)
    (error,) = refused(overrides=[word])
    assert expected in error


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"conf/groups/scale/big.yaml": "Nubmers: {size: 1}\n"}, "big.yaml:1: unknown task Nubmers"),
        ({"conf/groups/scale/big.yaml": "Numbers: {sise: 1}\n"}, "big.yaml:1: tasks.numbers.Numbers.sise: Numbers has"),
        ({"conf/groups/scale/big.yaml": "groups: {speed: fast}\n"}, "an option cannot choose another one"),
        ({"conf/groups/big.yaml": "{}\n"}, "Name it conf/groups/GROUP/OPTION.yaml"),
        ({"conf/groups/Numbers/big.yaml": "{}\n"}, "a group cannot be called Numbers, which is the name of a task"),
        ({"conf/groups/run/big.yaml": "{}\n"}, "a group cannot be called run, which is the name of a section"),
        ({"conf/base/groups.yaml": "other: [big]\n"}, "conf/base/groups.yaml:1: groups.other: is not one option"),
        ({"conf/groups/speed/fast.yaml": "Numbers: {size: 1}\n"}, "also set in conf/groups/scale/big.yaml:3"),
    ],
)
def test_a_mistake_in_a_file_is_refused(small_project, refused, files, expected):
    small_project({**GROUPS, **files})
    assert any(expected in error for error in refused(overrides=["scale=big", "speed=fast"])), expected
