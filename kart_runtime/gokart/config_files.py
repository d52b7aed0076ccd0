"""Configuration files for luigi: ini and TOML, with environment variables filled in."""

from __future__ import annotations

import json
import os
import re
import tomllib
import warnings
from collections import ChainMap
from collections.abc import Mapping, MutableMapping
from configparser import BasicInterpolation, RawConfigParser
from configparser import Error as IniError
from pathlib import Path
from typing import Any

import luigi
from luigi.configuration import LuigiConfigParser, LuigiTomlParser
from luigi.configuration.cfg_parser import CombinedInterpolation, EnvironmentInterpolation
from luigi.freezing import recursively_freeze
from luigi.parameter import UnconsumedParameterWarning
from luigi.task_register import Register

from kart_runtime.errors import ConfigError, closest_match
from kart_runtime.task.parameters.resolution import SHARED_SECTION

_VARIABLE = re.compile(r"\$\{([^}]+)\}|%\(([^)]+)\)s")


def add_config(file_path: str) -> None:
    """Add a configuration file for luigi, with a section for each task and a key for each parameter.

    In values of .ini, .cfg, .conf and .toml files ``${NAME}`` and ``%(NAME)s`` are replaced by environment variables;
    in the first three, ``%(NAME)s`` refers to a key of the same section first, as in `configparser`.

    Parameters
    ----------
    file_path
        The file. Its values replace those of earlier files.

    Raises
    ------
    ConfigError
        The file does not exist, cannot be read or has another format.
    """
    path = Path(file_path)
    kind = path.suffix.lower()
    if kind in (".yaml", ".yml"):
        raise ConfigError(
            "luigi does not read YAML. In a kart project, put the file below conf/ and use `kart run`",
            file=file_path,
            expected=".ini, .cfg, .conf or .toml",
        )
    if kind not in (".ini", ".cfg", ".conf", ".toml"):
        raise ConfigError(f"unknown configuration format '{kind}'", file=file_path, expected=".ini, .cfg or .toml")
    if not path.is_file():
        raise ConfigError(f"the file does not exist (looked for it in {Path.cwd()})", file=file_path)
    sections = _add_toml(path) if kind == ".toml" else _add_ini(path)
    _unchecked.append((path, sections))


_unchecked: list[tuple[Path, list[str]]] = []
"""Files whose sections have not been compared with the tasks yet, most of which are imported later."""


def check_sections() -> None:
    """Warn of each section of the added files that is nearly, and not quite, the name of a task."""
    names = [*Register.task_names(), SHARED_SECTION]
    files, _unchecked[:] = list(_unchecked), []
    for path, sections in files:
        for section in sections:
            is_task = section in names or section.islower()  # luigi's own sections are lower case
            guess = None if is_task else closest_match(section, names)
            if guess is not None:
                warnings.warn(
                    f"{path}: there is no task '{section}', so this section has no effect. Did you mean '{guess}'?",
                    UnconsumedParameterWarning,
                    stacklevel=3,
                )


class _EnvironmentBelow(BasicInterpolation):
    """Interpolation of ``%(NAME)s`` by a key of the section or of DEFAULT, and then by an environment variable."""

    def before_get(self, parser: Any, section: str, option: str, value: str, defaults: Mapping[str, str]) -> str:
        environment = {name: text.replace("%", "%%") for name, text in os.environ.items()}
        below: MutableMapping[str, str] = ChainMap(dict(defaults), environment)
        return super().before_get(parser, section, option, value, below)


def _add_ini(path: Path) -> list[str]:
    parser = RawConfigParser()
    try:
        parser.read(path)
    except (ValueError, OSError, IniError) as error:
        raise ConfigError(f"cannot be read: {error}", file=str(path)) from error
    config: Any = LuigiConfigParser.instance()
    config._interpolation = CombinedInterpolation([_EnvironmentBelow(), EnvironmentInterpolation()])
    active = luigi.configuration.get_config()
    if active is not config:
        warnings.warn(f"{path} is added to luigi's ini parser, but LUIGI_CONFIG_PARSER selects another.", stacklevel=3)
    LuigiConfigParser.add_config_path(str(path.resolve()))
    return parser.sections()


def _add_toml(path: Path) -> list[str]:
    """Add the values of a TOML file to luigi's active configuration, and return its sections.

    luigi's own TOML parser needs another library, and its configuration is either all TOML or all ini.
    """
    try:
        sections = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"cannot be read: {error}", file=str(path)) from error
    config: Any = luigi.configuration.get_config()
    for section, values in sections.items():
        if not isinstance(values, dict):
            raise ConfigError(
                "a key outside of a section", file=str(path), key=section, expected="[TaskName] before it"
            )
        for name, value in values.items():
            filled = _filled(value, str(path), f"{section}.{name}")
            if isinstance(config, LuigiTomlParser):
                config.set(section, name, recursively_freeze(filled))
            else:
                config.set(section, name, _as_text(filled).replace("%", "%%"))
    return list(sections)


def _filled(value: Any, file: str, key: str) -> Any:
    """Return a value with environment variables replaced, also inside lists and tables."""
    if isinstance(value, dict):
        return {name: _filled(item, file, f"{key}.{name}") for name, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, file, key) for item in value]
    if not isinstance(value, str):
        return value

    def variable(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name not in os.environ:
            raise ConfigError(f"environment variable {name} is not set. Set it", file=file, key=key)
        return os.environ[name]

    return _VARIABLE.sub(variable, value)


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return json.dumps(value, default=str)
    return str(value)
