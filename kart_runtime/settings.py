"""Settings: frozen dataclasses that `build` takes, and that a project's configuration fills.

`BuildSettings` are the options of `build`. A project adds where tasks write (`RunSettings`) and how it logs
(`LoggingSettings`). All of them can be sent to another process.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

from kart_runtime.errors import ConfigError, closest_match

CHOICES: Mapping[str, tuple[str, ...]] = {
    "code_changed": ("warn", "rerun", "ignore"),
    "on_corrupt": ("error", "recompute"),
    "outside_paths": ("error", "allow"),
}
"""Fields that take one of a few words."""

EXPORTERS = ("mlflow", "openlineage", "otel", "webhook")
"""Names of kart's own exporters; the classes are in the package `exporters`."""


def exporter_names(value: object) -> tuple[str, ...]:
    """Return the exporters that a setting or an argument names; raise `ValueError` if one cannot be."""
    names = (value,) if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"expected a list of exporters, for example [mlflow, webhook], got {value!r}")
    for name in names:
        module, colon, attribute = name.partition(":")
        parts = [*module.split("."), *attribute.split(".")] if colon else []
        if name not in EXPORTERS and not (parts and all(part.isidentifier() for part in parts)):
            guess = closest_match(name, EXPORTERS)
            hint = f"; did you mean '{guess}'?" if guess else ""
            expected = f"one of {', '.join(EXPORTERS)}, or a class of your own as package.module:Class"
            raise ValueError(f"unknown exporter '{name}'{hint} (expected {expected})")
    return tuple(dict.fromkeys(names))


@dataclass(frozen=True)
class BuildSettings:
    """How a build runs its tasks.

    Attributes
    ----------
    executor
        Where tasks run: "serial", "threads", "processes" or "dask". None: dask if there is an address, else serial for
        one worker, else processes. A task class with an attribute `executor` runs there.
    workers
        Number of tasks to run in parallel. None: 1; on a Dask cluster, the number of its threads.
    address
        Address of a Dask scheduler, for example ``tcp://HOST:8786``. None, with the executor "dask": the current
        `distributed.Client`, else the cluster of Dask's configuration.
    resources
        Available amount of each resource that tasks declare, for example ``{"gpu": 1}``. A resource that neither this
        nor luigi's configuration names defaults to what the machine has (gpu, memory_gb), or to 1.
    locks
        How processes that share a workspace avoid running the same task: "auto", as "file" where the workspace is a
        folder that has locks, else "none"; "file", on one machine; "workspace", on machines that share an object store
        or a disk; a redis server, "redis://HOST:PORT"; or "none". A task that another process runs waits while others
        go first.
    lock_wait
        Seconds to wait for a task that another process runs, counted while nothing else can start.
    value_cache_mb
        Megabytes of dumped values to keep in memory for tasks of this process. 0 disables the cache.
    code_changed
        What to do about a complete task whose code, or the content of whose inputs, is no longer what it was when the
        task ran: "warn", "rerun" or "ignore".
    code_packages
        Installed packages, such as ``numpy``, whose version counts as code.
    on_corrupt
        What to do about a stored output whose bytes are not those that its task wrote: "error", or "recompute".
    check_types
        Whether a task may dump only values of the type that it declares, ``TaskOnKart[T]``.
    keep_logs
        Whether the log records of each task are kept in the workspace, up to 64 KB; not without `log_files`.
    progress
        Whether `build` shows a line that updates, on a terminal and in a notebook, and `kart run` a block of rows.
    export
        Where to send what is recorded of the run: "mlflow", "otel", "webhook", "openlineage", or a class of your own
        as ``package.module:Class``.
    timeout
        Seconds that one try of a task may take before it is ended. A task class with `timeout` has its own. None: as
        luigi's configuration says (`[worker] timeout`), else no limit; 0: no limit.
    retries
        How often a task is tried again after a failure. A task class with `retries` has its own number.
    retry_delay
        Seconds before the second try of a task, doubled before each further one up to 5 minutes. A task class with
        `retry_delay` has its own.
    fail_fast
        Whether the first failure ends the build. Otherwise all tasks that do not depend on it run.
    durable
        Whether an output is flushed to the disk before it counts, so that it outlasts a power cut. Otherwise one that a
        power cut has damaged is found when the machine is back, and computed again.
    network_timeout
        Seconds until a request to an object store or a Dask cluster has its first answer or fails, retries included.
        None: `$KART_NETWORK_TIMEOUT`, or 60.
    outside_paths
        What to do about an output whose path, or a link on the way, leads out of the workspace: "error", or "allow",
        which only tells it. `kart_runtime.gokart.build` allows it, as gokart does.
    """

    executor: str | None = None
    workers: int | None = None
    address: str | None = None
    resources: Mapping[str, float] = field(default_factory=dict)
    locks: str = "auto"
    lock_wait: float = 600
    value_cache_mb: int = 256
    code_changed: str = "warn"
    code_packages: Sequence[str] = ()
    on_corrupt: str = "error"
    check_types: bool = True
    keep_logs: bool = True
    progress: bool = True
    export: Sequence[str] = ()
    timeout: float | None = None
    retries: int = 0
    retry_delay: float = 0
    fail_fast: bool = False
    durable: bool = False
    network_timeout: float | None = None
    outside_paths: str = "error"

    def with_options(self, options: Mapping[str, Any]) -> Self:
        """Return these settings with some fields replaced.

        Parameters
        ----------
        options
            Field name to value.

        Raises
        ------
        TypeError
            An option is not a field.
        """
        known = [each.name for each in fields(BuildSettings)]
        for name in options:
            if name not in known:
                guess = closest_match(name, known)
                raise TypeError(
                    f"build() got an unexpected option '{name}'"
                    + (f". Did you mean '{guess}'?" if guess else f"; it takes {', '.join(known)}")
                )
        return replace(self, **options)

    def changed(self) -> dict[str, str]:
        """Return the settings that are not the defaults, as text by full key."""
        defaults = type(self)()
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {
            f"run.{name}": format_setting(value) for name, value in values.items() if value != getattr(defaults, name)
        }

    def check(self) -> None:
        """Raise `ConfigError` if a number is out of range."""
        if self.value_cache_mb < 0:
            raise ConfigError("its size cannot be negative", key="value_cache_mb", expected="at least 0")
        for name in ("timeout", "retries", "retry_delay"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise ConfigError(f"invalid value {value!r}", key=name, expected="a number of at least 0")
        if self.network_timeout is not None and not 0 < self.network_timeout < float("inf"):
            expected = "a number of seconds above 0"
            raise ConfigError(f"invalid value {self.network_timeout!r}", key="network_timeout", expected=expected)
        for name, words in CHOICES.items():
            value = getattr(self, name)
            if value not in words:
                raise ConfigError(f"invalid value {value!r}", key=name, expected=f"one of {', '.join(words)}")
        try:
            exporter_names(self.export)
        except ValueError as error:
            raise ConfigError(str(error), key="export") from error


@dataclass(frozen=True)
class RunSettings(BuildSettings):
    """Section ``run`` of a project's configuration: how a build runs, and what every task gets.

    Attributes
    ----------
    task
        Task to run if the command names none: a class name, or any dotted suffix of its path.
    workspace
        Folder or URL that outputs are stored below; becomes `workspace_directory` of each task.
    seed
        Random seed of every task. None: each task derives its own from its unique id.
    log_files
        Whether to write the five log files of each task.
    fail_on_empty_dump
        Whether dumping an empty DataFrame is an error.
    suffix_by_type
        Whether the declared type of a task's output chooses its format where the task names none: `.parquet` for a
        DataFrame, `.json` for plain values. Otherwise that is `.pkl`.
    """

    task: str | None = None
    workspace: str = "./resources/"
    seed: int | None = None
    log_files: bool = True
    fail_on_empty_dump: bool = False

    suffix_by_type: bool = False


@dataclass(frozen=True)
class LoggingSettings:
    """Section ``logging`` of a project's configuration.

    Attributes
    ----------
    level
        Name of a `logging` level.
    format
        Format string of a `logging.Formatter`.
    """

    level: str = "INFO"
    format: str = "%(asctime)s %(levelname)s %(name)s: %(message)s"


@dataclass(frozen=True)
class Settings:
    """All settings of a project."""

    run: RunSettings = field(default_factory=RunSettings)
    logging: LoggingSettings = field(default_factory=LoggingSettings)


def format_setting(value: object) -> str:
    """Return the value of a setting as text on one line."""
    if isinstance(value, str):
        ambiguous = value in {"", "null", "true", "false", "~"} or value != value.strip() or not value.isprintable()
        return json.dumps(value) if ambiguous else value
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, Mapping):
        return json.dumps(dict(value), default=_jsonable)
    if isinstance(value, list | tuple):
        return json.dumps(list(value), default=_jsonable)
    return str(value)


def _jsonable(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else str(value)
