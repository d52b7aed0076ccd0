"""Configuration files give luigi values, with variables of the environment."""

from __future__ import annotations

import warnings
from pathlib import Path

import luigi
import pytest
from luigi.configuration import LuigiConfigParser
from luigi.parameter import UnconsumedParameterWarning

from kart_runtime import TaskOnKart
from kart_runtime.errors import ConfigError
from kart_runtime.gokart.build import build as gokart_build
from kart_runtime.gokart.config_files import add_config


@pytest.fixture(autouse=True)
def _luigi_as_it_was(monkeypatch):
    monkeypatch.setattr(LuigiConfigParser, "_config_paths", list(LuigiConfigParser._config_paths))


class Configured(TaskOnKart[str]):
    text = luigi.Parameter(default="default")
    number = luigi.IntParameter(default=0)
    on = luigi.BoolParameter(default=False)
    items = luigi.ListParameter(default=[])
    table = luigi.DictParameter(default={})
    day = luigi.DateParameter(default=None)


@pytest.mark.parametrize("suffix", ["ini", "cfg", "conf"])
def test_ini_files_take_variables_of_the_environment(monkeypatch, suffix):
    monkeypatch.setenv("KART_TEXT", "50% of it")
    monkeypatch.setenv("KART_FOLDER", "elsewhere")
    Path(f"main.{suffix}").write_text(
        "[TaskOnKart]\nworkspace_directory = ./%(KART_FOLDER)s\n"
        "[Configured]\ntext = ${KART_TEXT} %(KART_TEXT)s %(number)s\nnumber = 3\n"
    )
    add_config(f"main.{suffix}")
    task = Configured()
    assert (task.text, task.number) == ("50% of it 50% of it 3", 3)
    assert task.workspace_directory == "./elsewhere"


def test_a_later_file_goes_before_an_earlier_one():
    Path("one.ini").write_text("[Configured]\ntext = one\nnumber = 1\n")
    Path("two.ini").write_text("[Configured]\ntext = two\n")
    add_config("one.ini")
    add_config("two.ini")
    assert (Configured().text, Configured().number) == ("two", 1)


@pytest.mark.parametrize("text", ["${KART_NOT_SET}", "%(KART_NOT_SET)s"])
@pytest.mark.parametrize(("kind", "quote"), [("ini", ""), ("toml", '"')])
def test_a_variable_that_is_not_set(text, kind, quote):
    Path(f"main.{kind}").write_text(f"[Configured]\ntext = {quote}{text}{quote}\n")
    with pytest.raises(Exception, match="KART_NOT_SET"):
        add_config(f"main.{kind}")
        Configured()


def test_toml_files(monkeypatch):
    monkeypatch.setenv("KART_TEXT", "50% of it")
    Path("main.toml").write_text(
        '[Configured]\ntext = "${KART_TEXT} and %(KART_TEXT)s, 100%"\nnumber = 3\non = true\n'
        'items = [1, "${KART_TEXT}"]\ntable = {a = "${KART_TEXT}"}\nday = 2024-02-29\n'
    )
    add_config("main.toml")
    task = Configured()
    assert task.text == "50% of it and 50% of it, 100%"
    assert (task.number, task.on, task.items) == (3, True, (1, "50% of it"))
    assert dict(task.table) == {"a": "50% of it"}
    assert task.day.isoformat() == "2024-02-29"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("missing.ini", None, "does not exist"),
        ("main.yaml", "Configured:\n  text: a\n", "kart run"),
        ("main.json", "{}", "unknown configuration format '.json'"),
        ("main.ini", "text = a\n", "cannot be read"),
        ("main.toml", "[Configured\n", "cannot be read"),
        ("main.toml", "text = 1\n", "outside of a section"),
    ],
)
def test_files_that_cannot_be_used(name, text, message):
    if text is not None:
        Path(name).write_text(text)
    with pytest.raises(ConfigError, match=message) as refused:
        add_config(name)
    assert refused.value.file == name


@pytest.mark.parametrize(("name", "quote"), [("main.ini", ""), ("main.toml", '"')])
def test_a_section_that_is_nearly_a_task_is_reported_once(name, quote):
    Path(name).write_text(f"[Cofigured]\ntext = {quote}a{quote}\n[core]\nx = 1\n[Elsewhere.Made]\nx = 1\n")
    add_config(name)
    message = f"{name}: there is no task 'Cofigured', so this section has no effect. Did you mean 'Configured'"
    with pytest.warns(UnconsumedParameterWarning) as caught:
        gokart_build(Stored())
    assert [message in str(warning.message) for warning in caught] == [True]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gokart_build(Stored())


class Stored(TaskOnKart[str]):
    def run(self):
        self.dump("x")


def test_an_option_that_a_task_does_not_have_is_reported_with_the_nearest():
    Path("main.ini").write_text("[Configured]\nnumbr = 3\n")
    add_config("main.ini")
    with pytest.warns(UnconsumedParameterWarning, match=r"no such parameter\. Did you mean 'number'\?"):
        Configured()
