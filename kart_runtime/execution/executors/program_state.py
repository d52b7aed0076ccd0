"""State of the program that a new interpreter lacks: gathered once a build, applied in each worker.

`Settings` needs only the standard library and luigi, and is applied first, because it says where modules are found.
`Choices` holds classes and functions of the user's modules, and is pickled like a call (see `pickling`).
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing import process
from typing import Any

import luigi
from luigi.cmdline_parser import CmdlineParser

from kart_runtime.errors.interpreter import mask_what_python_prints
from kart_runtime.errors.secret_sources import note_environment
from kart_runtime.errors.secrets import note_secret, noted_secrets
from kart_runtime.storage import registry
from kart_runtime.storage.time_limits import chosen_timeout, set_project_timeout
from kart_runtime.task.origin import script, work_for
from kart_runtime.task.parameters import ActiveOverrides, process_overrides, set_overrides


@dataclass(frozen=True)
class Logging:
    """The root logger's level, the level of `logging.disable`, and level and formatter of its handler on a console."""

    level: int
    disabled: int
    console: tuple[int, logging.Formatter | None] | None

    @classmethod
    def gather(cls) -> Logging:
        """Return the state of this process."""
        consoles = ((each.level, _plain(each.formatter)) for each in logging.root.handlers if _is_console(each))
        return cls(logging.root.level, logging.root.manager.disable, next(consoles, None))

    def apply(self) -> None:
        """Log to standard error in the same way in this process."""
        logging.root.setLevel(self.level)
        logging.disable(self.disabled)
        for handler in [each for each in logging.root.handlers if _is_console(each)]:
            logging.root.removeHandler(handler)
        if self.console is not None:
            handler = logging.StreamHandler()
            handler.setLevel(self.console[0])
            handler.setFormatter(self.console[1])
            logging.root.addHandler(handler)


def _is_console(handler: logging.Handler) -> bool:
    consoles = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
    return isinstance(handler, logging.StreamHandler) and handler.stream in consoles


def _plain(formatter: logging.Formatter | None) -> logging.Formatter | None:
    # A subclass may need libraries, or a terminal; the text of the format is what counts.
    if formatter is None or type(formatter) is logging.Formatter:
        return formatter
    return logging.Formatter(getattr(formatter, "_fmt", None), formatter.datefmt, validate=False)


@dataclass(frozen=True)
class LuigiConfiguration:
    """luigi's configuration, from files or set by the program.

    `parser` is luigi's class for ini or toml, `paths` the files that it reads again when another one is added, and
    `sections` and `defaults` are the values before interpolation.
    """

    parser: type
    paths: tuple[str, ...]
    sections: dict[str, dict[str, Any]]
    defaults: dict[str, Any]

    @classmethod
    def gather(cls) -> LuigiConfiguration:
        """Return the state of this process."""
        config: Any = luigi.configuration.get_config()
        sections = config.data if hasattr(config, "data") else config._sections
        copied = {name: dict(values) for name, values in sections.items()}
        return cls(type(config), tuple(config._config_paths), copied, dict(config.defaults()))

    def apply(self) -> None:
        """Have luigi use this configuration, even if the files have changed."""
        parser: Any = self.parser
        parser._config_paths = list(self.paths)
        config = parser._instance = parser()
        if hasattr(config, "data"):
            config.data = self.sections
            return
        config.defaults().update(self.defaults)
        for name, values in self.sections.items():
            config.add_section(name)
            # `set` would refuse values whose interpolation fails, which a file may hold as long as nobody reads them.
            config._sections[name].update(values)


@dataclass(frozen=True)
class Settings:
    """Settings of the interpreter, of logging and luigi, and what is registered; `folder` is None where it is gone."""

    path: list[str]
    folder: str | None
    environ: dict[str, str]
    argv: list[str]
    logging: Logging
    luigi: LuigiConfiguration
    registered: tuple[dict[str, str], dict[str, str]]
    secrets: tuple[str, ...]
    network_timeout: float | None = None

    @classmethod
    def gather(cls) -> Settings:
        """Return the state of this process."""
        try:
            folder: str | None = os.getcwd()  # noqa: PTH109 - as text, for another process
        except FileNotFoundError:
            folder = None
        return cls(
            search_path(),
            folder,
            dict(os.environ),
            list(sys.argv),
            Logging.gather(),
            LuigiConfiguration.gather(),
            registry.tables(),
            noted_secrets(),
            chosen_timeout(),
        )

    def apply(self) -> None:
        """Make it the state of this process."""
        sys.path[:] = self.path
        sys.argv[:] = self.argv
        if self.folder is not None:
            os.chdir(self.folder)
        for name in os.environ.keys() - self.environ.keys():
            del os.environ[name]
        os.environ.update(self.environ)
        note_environment()
        note_secret(self.secrets)
        mask_what_python_prints()
        self.luigi.apply()
        self.logging.apply()
        registry.adopt(self.registered)
        set_project_timeout(self.network_timeout)


def search_path() -> list[str]:
    """Return the search path for modules, with the folders that '' means and meant when this process began.

    As '' it would be the current folder of the worker, whatever a task makes that.
    """
    path: list[str] = []
    for entry in sys.path:
        if entry == "":
            with contextlib.suppress(FileNotFoundError):
                path.append(os.getcwd())  # noqa: PTH109 - a text
            path.append(str(getattr(process, "ORIGINAL_DIR", None) or ""))
        else:
            path.append(str(entry))
    return list(dict.fromkeys(filter(None, path)))


@dataclass(frozen=True)
class Choices:
    """Choices for task classes: overrides of a project, luigi's command line, its event handlers, and the script."""

    overrides: ActiveOverrides
    command_line: dict[str, Any] | None
    handlers: Mapping[type, Mapping[str, tuple[Callable[..., Any], ...]]]
    script: str = ""

    @classmethod
    def gather(cls, can_send: Callable[[Any], bool]) -> Choices:
        """Return the state of this process; `can_send` says whether an event handler can be pickled."""
        parser = CmdlineParser.get_instance()
        known = vars(parser.known_args) if parser is not None else None
        return cls(process_overrides(), known, _handlers(can_send), script())

    def apply(self) -> None:
        """Make it the state of this process, and forget the tasks of the previous build."""
        parser = None
        if self.command_line is not None:
            parser = CmdlineParser.__new__(CmdlineParser)  # its __init__ would parse again
            parser.known_args = type(parser)._build_parser().parse_args([])
            vars(parser.known_args).update(self.command_line)
        CmdlineParser._instance = parser
        luigi.Task._event_callbacks.clear()
        for task_class, events in self.handlers.items():
            for event, functions in events.items():
                luigi.Task._event_callbacks.setdefault(task_class, {})[event] = set(functions)
        set_overrides(self.overrides)
        work_for(self.script)


def _handlers(can_send: Callable[[Any], bool]) -> dict[type, dict[str, tuple[Callable[..., Any], ...]]]:
    handlers: dict[type, dict[str, tuple[Callable[..., Any], ...]]] = {}
    for task_class, events in luigi.Task._event_callbacks.items():
        for event, functions in events.items():
            sent = tuple(function for function in functions if can_send((task_class, function)))
            if sent:
                handlers.setdefault(task_class, {})[event] = sent
            if len(sent) < len(functions):
                warnings.warn(
                    f"Some handlers of {event} of {task_class.__name__} cannot be pickled: worker processes will not "
                    "call them.",
                    RuntimeWarning,
                    stacklevel=2,
                )
    return handlers
