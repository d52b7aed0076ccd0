"""Page of the Python API: a table of names for readers of the file, and directives of autodoc for the site."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence

from marks import replaced, table

import kart_runtime

GROUPS: Mapping[str, Sequence[str]] = {
    "Declare tasks": (
        "TaskOnKart",
        "InputFile",
        "SqlSource",
        "Published",
        "ExternalTask",
        "WrapperTask",
        "parameter",
        "partitions",
        "configured",
        "TaskInstanceParameter",
        "ListTaskInstanceParameter",
        "SerializableParameter",
        "ExplicitBoolParameter",
        "ZonedDateSecondParameter",
        "SecretParameter",
        "inherits_config_params",
        "PandasTypeConfig",
    ),
    "Run": ("build", "BuildSettings", "open_project", "WorkerSchedulerFactory"),
    "Follow a build": (
        "PlanMade",
        "TaskStarted",
        "TaskProgress",
        "TaskLocked",
        "TaskUnchanged",
        "TaskFinished",
        "BuildStopping",
        "BuildFinished",
        "Exporter",
    ),
    "Errors": ("KartError", "ConfigError", "BuildFailed"),
    "Store values": (
        "Target",
        "make_target",
        "make_model_target",
        "InMemoryTarget",
        "make_in_memory_target",
        "Codec",
        "Store",
        "register_codec",
        "register_store",
        "PartitionValues",
        "Publication",
        "find_publication",
        "load_published",
    ),
}
"""Section to names; a public name that is in none of them is gokart's."""

_MEMBERS = {
    "TaskOnKart": (
        "requires, output, load, load_generator, load_range, load_previous, dump, folder, scratch, make_target, "
        "make_folder_target, make_model_target, make_large_data_frame_target, suffix, publish, timeout, retries, "
        "retry_delay, memory_gb, executor, schema, check_dump_type, complete, clone, rng, make_unique_id, "
        "get_own_code, to_str_params"
    ),
    "InputFile": "glob",
    "PandasTypeConfig": "type_dict",
    "Target": "exists, load, dump, remove, last_modification_time, path",
    "Exporter": "begin, task, end",
    "Codec": "dump, load",
    "Store": "stat, open, write, delete, list",
}


def updated(page: str) -> str:
    """Return the page with all public names of `kart_runtime`."""
    known = {name for names in GROUPS.values() for name in names}
    rest = [name for name in kart_runtime.__all__ if name not in known]
    groups = {**GROUPS, "Names of gokart": rest}
    return replaced(page, "api", "\n\n".join(_section(title, names) for title, names in groups.items()))


def _section(title: str, names: Sequence[str]) -> str:
    rows = [(f"`{name}`", _summary(getattr(kart_runtime, name))) for name in names]
    directives = "\n".join(_directive(name) for name in names)
    return f"## {title}\n\n{table(('name', 'purpose'), rows)}\n\n```{{eval-rst}}\n{directives}\n```"


def _summary(value: object) -> str:
    first = (inspect.getdoc(value) or "").partition("\n\n")[0].replace("\n", " ")
    return re.sub(r"`+([^`]+)`+", r"`\1`", first)


def _directive(name: str) -> str:
    value = getattr(kart_runtime, name)
    if not inspect.isclass(value):
        return f".. autofunction:: kart_runtime.{name}\n"
    if issubclass(value, BaseException):
        return f".. autoexception:: kart_runtime.{name}\n"
    members = _MEMBERS.get(name)
    return f".. autoclass:: kart_runtime.{name}\n" + (f"   :members: {members}\n" if members else "")
