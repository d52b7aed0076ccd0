"""A worker sees the program as it was when the build began: its folder, variables, path, configuration and logging."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from pathlib import Path

import luigi
import pytest
from luigi.cmdline_parser import CmdlineParser
from luigi.configuration.toml_parser import LuigiTomlParser

from kart_runtime import TaskOnKart
from kart_runtime.execution.executors import ProcessExecutor, shutdown_idle_workers
from kart_runtime.task.parameters import Override, install, overriding


class Sized(TaskOnKart[int]):
    size = luigi.IntParameter(default=1)


def in_worker(function, *args):
    with ProcessExecutor(1) as executor:
        return executor.submit(function, *args).result()


def test_the_working_folder():
    assert in_worker(os.getcwd) == os.getcwd()
    Path("deeper").mkdir()
    os.chdir("deeper")
    assert in_worker(os.getcwd) == os.getcwd()


def test_the_environment(monkeypatch):
    def variable():
        return os.environ.get("KART_TEST")

    assert in_worker(variable) is None
    monkeypatch.setenv("KART_TEST", "1")
    assert in_worker(variable) == "1"
    monkeypatch.delenv("KART_TEST")
    assert in_worker(variable) is None


def test_the_path_and_the_arguments(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(tmp_path / "one")
    monkeypatch.setattr(sys, "argv", ["program", "--flag"])
    assert in_worker(lambda: (sys.path[0], sys.argv)) == (str(tmp_path / "one"), ["program", "--flag"])
    monkeypatch.syspath_prepend(tmp_path / "two")
    assert in_worker(lambda: sys.path[:2]) == [str(tmp_path / "two"), str(tmp_path / "one")]


def test_luigis_configuration():
    config = luigi.configuration.get_config()
    config.defaults()["base"] = "7"
    config.set("Sized", "size", "%(base)s")
    config.set("other", "text", "${HOME} %%")
    assert in_worker(lambda: Sized().size) == 7
    raw = in_worker(lambda: dict(luigi.configuration.get_config().items("other", raw=True)))
    assert raw == {"base": "7", "text": "${HOME} %%"}
    config.set("Sized", "size", "9")
    config.remove_section("other")
    assert in_worker(lambda: Sized().size) == 9
    assert not in_worker(lambda: luigi.configuration.get_config().has_section("other"))


def test_a_value_of_a_file_whose_interpolation_fails_does_no_harm():
    Path("luigi.cfg").write_text("[dates]\nformat = %Y\n[Sized]\nsize = 4\n")
    luigi.configuration.LuigiConfigParser._instance = None
    assert in_worker(lambda: Sized().size) == 4


def test_luigis_configuration_in_toml(monkeypatch):
    monkeypatch.setenv("LUIGI_CONFIG_PARSER", "toml")
    monkeypatch.setattr(LuigiTomlParser, "_instance", None)
    luigi.configuration.get_config().set("Sized", "size", 5)
    assert Sized().size == 5
    assert in_worker(lambda: Sized().size) == 5  # in a worker that began with the other parser, or in a fresh one
    shutdown_idle_workers()
    assert in_worker(lambda: Sized().size) == 5


def test_overrides_of_parameters():
    with overriding({Sized: {"size": Override(6, "command line")}}):
        assert in_worker(lambda: Sized().size) == 6
        install({Sized: {"size": Override(8, "command line")}})
        assert in_worker(lambda: Sized().size) == 8
    assert in_worker(lambda: Sized().size) == 1


def test_overrides_of_a_local_class():
    class Local(TaskOnKart[int]):
        size = luigi.IntParameter(default=1)

    with overriding({Local: {"size": Override(6, "command line")}}):
        assert in_worker(lambda: Local().size) == 6


def test_luigis_command_line():
    with CmdlineParser.global_instance(["Sized", "--Sized-size", "3"]):
        assert Sized().size == 3
        assert in_worker(lambda: Sized().size) == 3
    assert in_worker(lambda: Sized().size) == 1


def test_tasks_of_the_build_before_are_forgotten():
    def note(task):
        seen, task.seen = getattr(task, "seen", False), True
        return os.getpid(), seen

    (first, seen), (again, seen_again) = in_worker(note, Sized()), in_worker(note, Sized())
    assert first == again
    assert not seen
    assert not seen_again


@pytest.fixture
def root_logger():
    level, disabled, handlers = logging.root.level, logging.root.manager.disable, list(logging.root.handlers)
    yield logging.root
    logging.root.setLevel(level)
    logging.disable(disabled)
    logging.root.handlers[:] = handlers


def shown():
    handlers = [handler for handler in logging.root.handlers if type(handler) is logging.StreamHandler]
    forms = [(handler.level, handler.formatter and handler.formatter._fmt) for handler in handlers]
    return logging.root.level, logging.root.manager.disable, forms


def test_logging(root_logger):
    root_logger.setLevel(logging.DEBUG)
    assert in_worker(shown) == (logging.DEBUG, 0, [])
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(logging.INFO)
    handler.setFormatter(logging.Formatter("%(name)s {%(message)s}"))
    root_logger.addHandler(handler)
    logging.disable(logging.DEBUG)
    assert in_worker(shown) == (logging.DEBUG, logging.DEBUG, [(logging.INFO, "%(name)s {%(message)s}")])
    root_logger.removeHandler(handler)
    logging.disable(logging.NOTSET)
    assert in_worker(shown) == (logging.DEBUG, 0, [])


def test_messages_are_written_to_standard_error(root_logger, capfd):
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("[%(levelname)s] %(message)s"))
    root_logger.addHandler(handler)
    in_worker(lambda: logging.getLogger("a").warning("from %s", "afar"))
    assert "[WARNING] from afar\n" in capfd.readouterr().err


def test_handlers_of_events_and_those_that_cannot_be_sent():
    import threading

    lock = threading.Lock()

    def count():
        return sum(len(functions) for functions in luigi.Task._event_callbacks.get(Sized, {}).values())

    Sized.event_handler(luigi.Event.SUCCESS)(print)
    assert in_worker(count) == 1
    Sized.event_handler(luigi.Event.SUCCESS)(lambda task: lock.acquire())
    with pytest.warns(RuntimeWarning, match="Some handlers of event.core.success of Sized cannot be pickled"):
        assert in_worker(count) == 1
    luigi.Task._event_callbacks.clear()
    with warnings.catch_warnings():
        assert in_worker(count) == 0
