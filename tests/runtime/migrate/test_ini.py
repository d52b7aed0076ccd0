"""Luigi's configuration becomes YAML that kart reads with the same values."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kart_runtime.migrate import CannotMigrate
from kart_runtime.migrate.ini import SETTINGS, convert, scalar
from kart_runtime.project.conf import sections
from kart_runtime.project.conf.tree import plain
from kart_runtime.project.conf.yaml_documents import read_document

INI = """\
[DEFAULT]
root = /data
[TaskOnKart]
workspace_directory=%(root)s/out
fix_random_seed_value = 3
redis_host=localhost
[pkg.model.TrainModel]
max-depth = 4
rate=0.1
version = 1.10
name : no
empty =
kinds = ["a", "b"]
token = %(TOKEN)s-${HOME}
half = 50%%
day=2026-01-31
on=True
[core]
logging_conf_file=logging.ini
[SlackConfig]
channel=x
[tree_info]
mode=all
"""

YAML = """\
# Converted from param.ini: move each block to the file that its comment names.

# [TaskOnKart]: conf/base/run.yaml, without the line `run:`
run:
  workspace: /data/out
  seed: 3

# [TaskOnKart]: kart has no setting for these; write them below each task that needs them
TaskOnKart:
  redis_host: localhost

# [pkg.model.TrainModel]: conf/base/tasks/..., the file of pkg.model
TrainModel:
  max_depth: 4
  rate: 0.1
  version: "1.10"
  name: "no"
  empty: ""
  kinds: ["a", "b"]
  token: ${oc.env:TOKEN}-${oc.env:HOME}
  half: "50%"
  day: "2026-01-31"
  "on": true
"""


def test_sections_of_tasks_become_blocks_and_the_others_stay():
    text, others = convert(INI, "param.ini")
    assert text == YAML
    assert others == ("DEFAULT", "core", "SlackConfig", "tree_info")


def test_without_a_section_of_a_task_there_is_no_yaml():
    assert convert("[core]\na=1\n[logger_root]\nb=2\n", "luigi.cfg")[0] == ""


def test_two_classes_of_one_name_keep_their_whole_names():
    loaded = yaml.safe_load(convert("[a.T]\nx=1\n[b.T]\nx=2\n[c.U]\n", "x.ini")[0])
    assert loaded == {"a.T": {"x": 1}, "b.T": {"x": 2}, "U": {}}


def test_the_settings_are_those_that_kart_gives_to_tasks():
    of_gokart = {setting: name for setting, name in sections.TO_TASKS.items() if setting != "suffix_by_type"}
    assert {setting: name for name, setting in SETTINGS.items()} == of_gokart


@pytest.mark.parametrize(
    ("ini", "wanted"),
    [
        ("a = 1\n", "not a luigi configuration"),
        ("[T]\na=1\na=2\n", "already exists"),
        ("[T]\na=%(b)s\nb=%(a)s\n", r"\[T\].*refers to itself"),
        ("[T]\na=5%\n", r"Write %% or %\(NAME\)s"),
    ],
)
def test_what_luigi_would_refuse_is_refused(ini, wanted):
    with pytest.raises(CannotMigrate, match=wanted):
        convert(ini, "x.ini")


def read(text: str) -> object:
    """Return what kart makes of a value in a file."""
    errors: list = []
    tree = read_document(f"key: {text}\n", name="x.yaml", prefix=(), errors=errors)
    assert errors == []
    return plain(tree)["key"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("4", 4),
        ("-4", -4),
        ("010", "010"),
        ("1e3", "1e3"),
        ("1_000", "1_000"),
        ("0x10", "0x10"),
        ("0.5", 0.5),
        ("FALSE", False),
        ("null", "null"),
        ("~", "~"),
        ("None", "None"),
        ('{"a": [1]}', {"a": [1]}),
        ("[a, b]", "[a, b]"),
        ("[NaN]", "[NaN]"),
        ("a: b", "a: b"),
        ("# x", "# x"),
        ("two\nlines", "two\nlines"),
        ("12:30", "12:30"),
        ("./x", "./x"),
        ("s3://b/k", "s3://b/k"),
        (".inf", ".inf"),
    ],
)
def test_a_value_has_a_type_where_it_can_have_no_other(text, value):
    found = read(scalar(text))
    assert found == value
    assert type(found) is type(value)


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])))
def test_any_text_comes_back_as_itself_or_as_what_it_spells(text):
    found = read(scalar(text))
    assert found == text or json.loads(text.lower() if isinstance(found, bool) else text.removeprefix("+")) == found
