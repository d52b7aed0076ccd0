"""Conversion of a luigi configuration to YAML: a block for each section of a task; luigi's own sections stay.

A block belongs into the file of its module below ``conf/base/tasks``, which an ini does not know; so the YAML is a
draft with a comment on each block.
"""

from __future__ import annotations

import configparser
import json
import re

import yaml

from kart_runtime.migrate.changes import CannotMigrate

SETTINGS = {
    "workspace_directory": "workspace",
    "fix_random_seed_value": "seed",
    "should_dump_supplementary_log_files": "log_files",
    "fail_on_empty_dump": "fail_on_empty_dump",
}
"""Parameters of every task that have a setting of ``run`` in kart."""

_EVERY_TASK = "TaskOnKart"
_FAMILY = re.compile(r"(?:\w+\.)*_*[A-Z]\w*")
# Sections of libraries, which begin with a capital as those of tasks do.
_CONFIGS = frozenset({"GCSConfig", "PandasTypeConfig", "S3Config", "SlackConfig"})
_DEFAULT = "DEFAULT"

_REFERENCE = re.compile(r"%(?:%|\(([^)]+)\)s|)")
_VARIABLE = re.compile(r"\$\{([^}]+)\}")
_DEEPEST = 10

_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"-?[0-9]+\.[0-9]+")
_PLAIN = re.compile(r"(?:\.{0,2}/|\$\{|[A-Za-z_])[\w/.$:{}@+\-]*", re.ASCII)


def convert(text: str, name: str) -> tuple[str, tuple[str, ...]]:
    """Return a luigi configuration as YAML, empty without a section of a task, and the names of the other sections.

    `name` is the file's name. Raises `CannotMigrate` when the text is no ini, or refers to itself in a cycle.
    """
    # With another name for the section of defaults, [DEFAULT] is not copied into every section.
    parser = configparser.RawConfigParser(default_section="")
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(text, name)
    except configparser.Error as error:
        raise CannotMigrate(f"is not a luigi configuration: {' '.join(str(error).split())}") from error
    sections = {section: dict(parser.items(section)) for section in parser.sections()}
    families = [section for section in sections if _is_family(section)]
    others = tuple(section for section in sections if section not in families)
    if not families:
        return "", others
    keys = _keys(families)
    default = sections.get(_DEFAULT, {})
    blocks = [block for family in families for block in _blocks(family, keys[family], _read(sections, family, default))]
    head = f"# Converted from {name}: move each block to the file that its comment names.\n"
    return "\n".join([head, *blocks]), others


def _is_family(section: str) -> bool:
    return bool(_FAMILY.fullmatch(section)) and section.rpartition(".")[2] not in {*_CONFIGS, _DEFAULT}


def _keys(families: list[str]) -> dict[str, str]:
    """Return the top key of each family: the class, or all of the family where two classes have one name."""
    classes = [family.rpartition(".")[2] for family in families]
    return {
        family: name if classes.count(name) == 1 else family for family, name in zip(families, classes, strict=True)
    }


def _read(sections: dict[str, dict[str, str]], family: str, default: dict[str, str]) -> dict[str, str]:
    """Return the options of a family as YAML values, with references to other options filled in."""
    options = default | sections[family]
    try:
        return {
            option.replace("-", "_"): scalar(_filled(sections[family][option], options)) for option in sections[family]
        }
    except CannotMigrate as error:
        raise CannotMigrate(f"[{family}]: {error}") from error


def _filled(text: str, options: dict[str, str], depth: int = 0) -> str:
    """Return text with ``%(option)s`` filled in, and what comes from the environment as ``${oc.env:NAME}``."""
    if depth > _DEEPEST:
        raise CannotMigrate(f"the value {text!r} refers to itself. Write it out.")

    def fill(match: re.Match[str]) -> str:
        name = match[1]
        if match[0] == "%%":
            return "%"
        if name is None:
            raise CannotMigrate(f"a single % in {text!r} has no meaning. Write %% or %(NAME)s.")
        return _filled(options[name], options, depth + 1) if name in options else f"${{oc.env:{name}}}"

    return _VARIABLE.sub(
        lambda match: match[0] if match[1].startswith("oc.env:") else f"${{oc.env:{match[1]}}}",
        _REFERENCE.sub(fill, text),
    )


def scalar(text: str) -> str:
    """Return a value as YAML: a number, boolean, list or map where it can be nothing else, and text otherwise."""
    if text.lower() in {"true", "false"}:
        return text.lower()
    # A float that would be written differently, such as 1.10, could be a version.
    if _INT.fullmatch(text) or (_FLOAT.fullmatch(text) and repr(float(text)) == text):
        return text
    if text.startswith(("[", "{")):
        try:
            return json.dumps(json.loads(text), ensure_ascii=False, allow_nan=False)
        except ValueError:
            return json.dumps(text, ensure_ascii=False)
    return _text(text)


def _text(text: str) -> str:
    if _PLAIN.fullmatch(text) and yaml.safe_dump(text).splitlines()[0] == text:
        return text
    return json.dumps(text, ensure_ascii=False)


def _blocks(family: str, key: str, values: dict[str, str]) -> list[str]:
    if family.rpartition(".")[2] != _EVERY_TASK:
        module = family.rpartition(".")[0]
        where = f"conf/base/tasks/..., the file of {module or 'the module that has the class'}"
        return [_block(f"[{family}]: {where}", key, values)]
    run = {SETTINGS[name]: value for name, value in values.items() if name in SETTINGS}
    others = {name: value for name, value in values.items() if name not in SETTINGS}
    blocks = [_block(f"[{family}]: conf/base/run.yaml, without the line `run:`", "run", run)] if run else []
    if others:
        where = "kart has no setting for these; write them below each task that needs them"
        blocks.append(_block(f"[{family}]: {where}", key, others))
    return blocks


def _block(comment: str, key: str, values: dict[str, str]) -> str:
    lines = [f"  {_text(name)}: {value}" for name, value in values.items()]
    return "\n".join([f"# {comment}", f"{_text(key)}:{'' if lines else ' {}'}", *lines, ""])
