"""What has the program set that a fresh interpreter lacks? Gathered once a build, applied in each worker.

In two parts. `Settings` needs nothing but the standard library and luigi, and is applied first, because it says where
modules are found; `Choices` holds classes and functions of the user's modules, and goes the way of the work (`wire`).
"""

from __future__ import annotations

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

from kart_runtime.storage.registry import STORES
from kart_runtime.task.parameters import ActiveOverrides, process_overrides, set_overrides


@dataclass(frozen=True)
class Logging:
    """What the root logger shows.

    Attributes
    ----------
    level
        The root logger's.
    disabled
        `logging.disable`'s level.
    shown
        The level and formatter of its handler on standard output or error; None: it has none.
    """

    level: int
    disabled: int
    shown: tuple[int, logging.Formatter | None] | None

    @classmethod
    def gather(cls) -> Logging:
        """Return this process's."""
        shown = next(((one.level, _plain(one.formatter)) for one in logging.root.handlers if _is_console(one)), None)
        return cls(logging.root.level, logging.root.manager.disable, shown)

    def apply(self) -> None:
        """Log to standard error in the same way here."""
        logging.root.setLevel(self.level)
        logging.disable(self.disabled)
        for handler in [one for one in logging.root.handlers if _is_console(one)]:
            logging.root.removeHandler(handler)
        if self.shown is not None:
            handler = logging.StreamHandler()
            handler.setLevel(self.shown[0])
            handler.setFormatter(self.shown[1])
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
    """All that luigi's configuration holds, from files or set by the program.

    Attributes
    ----------
    parser
        luigi's class for it: ini or toml.
    paths
        The files that it reads again when it is told of another one.
    sections, defaults
        The values, before interpolation.
    """

    parser: type
    paths: tuple[str, ...]
    sections: dict[str, dict[str, Any]]
    defaults: dict[str, Any]

    @classmethod
    def gather(cls) -> LuigiConfiguration:
        """Return this process's."""
        config: Any = luigi.configuration.get_config()
        sections = config.data if hasattr(config, "data") else config._sections
        copied = {name: dict(values) for name, values in sections.items()}
        return cls(type(config), tuple(config._config_paths), copied, dict(config.defaults()))

    def apply(self) -> None:
        """Have luigi use this, and not what the files say by now."""
        parser: Any = self.parser
        parser._config_paths = list(self.paths)
        config = parser._instance = parser()
        if hasattr(config, "data"):
            config.data = self.sections
            return
        config.defaults().update(self.defaults)
        for name, values in self.sections.items():
            config.add_section(name)
            # `set` would refuse values whose interpolation fails, which a file may hold as long as nobody asks.
            config._sections[name].update(values)


@dataclass(frozen=True)
class Settings:
    """What the interpreter and the libraries are told.

    Attributes
    ----------
    path
        `sys.path`.
    folder
        The working folder; None when it does not exist any more.
    environ
        The environment variables.
    argv
        `sys.argv`.
    logging
        What the root logger shows.
    luigi
        luigi's configuration.
    stores
        Which stores are known, by scheme.
    """

    path: list[str]
    folder: str | None
    environ: dict[str, str]
    argv: list[str]
    logging: Logging
    luigi: LuigiConfiguration
    stores: dict[str, str]

    @classmethod
    def gather(cls) -> Settings:
        """Return this process's."""
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
            dict(STORES),
        )

    def apply(self) -> None:
        """Make this process's the same."""
        sys.path[:] = self.path
        sys.argv[:] = self.argv
        if self.folder is not None:
            os.chdir(self.folder)
        for name in os.environ.keys() - self.environ.keys():
            del os.environ[name]
        os.environ.update(self.environ)
        self.luigi.apply()
        self.logging.apply()
        STORES.update(self.stores)


def search_path() -> list[str]:
    """Return where modules are found, for another process: also what '' meant when this one began."""
    began_in = getattr(process, "ORIGINAL_DIR", None)
    found: list[str] = []
    for entry in sys.path:
        found.append(str(entry))
        if entry == "" and began_in:
            found.append(str(began_in))
    return found


@dataclass(frozen=True)
class Choices:
    """What was chosen for task classes.

    Attributes
    ----------
    overrides
        What YAML and the command line of a project say.
    command_line
        The arguments of luigi's command line.
    handlers
        luigi's event handlers: class to event to functions.
    """

    overrides: ActiveOverrides
    command_line: dict[str, Any] | None
    handlers: Mapping[type, Mapping[str, tuple[Callable[..., Any], ...]]]

    @classmethod
    def gather(cls, can_send: Callable[[Any], bool]) -> Choices:
        """Return this process's.

        Parameters
        ----------
        can_send
            Whether another process can have an event handler; of one that it cannot have, a warning tells.
        """
        parser = CmdlineParser.get_instance()
        return cls(process_overrides(), vars(parser.known_args) if parser is not None else None, _handlers(can_send))

    def apply(self) -> None:
        """Make this process's the same, and forget the tasks of the build before."""
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


def _handlers(can_send: Callable[[Any], bool]) -> dict[type, dict[str, tuple[Callable[..., Any], ...]]]:
    found: dict[type, dict[str, tuple[Callable[..., Any], ...]]] = {}
    for task_class, events in luigi.Task._event_callbacks.items():
        for event, functions in events.items():
            sent = tuple(one for one in functions if can_send((task_class, one)))
            if sent:
                found.setdefault(task_class, {})[event] = sent
            if len(sent) < len(functions):
                warnings.warn(
                    f"Some handlers of {event} of {task_class.__name__} cannot be pickled: worker processes will not "
                    "call them.",
                    RuntimeWarning,
                    stacklevel=2,
                )
    return found
