"""Interface of an exporter, and the exporter of a name: one of kart's own, or a class of the user's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple, Protocol, cast

from kart_runtime.errors import ConfigError, ExtraMissing, closest_match, described
from kart_runtime.settings import exporter_names


class Exporter(Protocol):
    """Sender of one run to another tool.

    Its methods get plain values of JSON, secrets masked: what a line of the run's file has. They may raise. Optionally,
    `sent()` returns a text for `kart export`: what was sent, and where to.
    """

    def begin(self, run: Mapping[str, Any]) -> None:
        """Receive the header of the run: "run" (its id), "started", "host", "command", "env", "roots", and so on."""
        ...

    def task(self, record: Mapping[str, Any]) -> None:
        """Receive an attempt that has ended: "task", "unique_id", "state", "params", "metrics", "outputs", "error"."""
        ...

    def end(self, end: Mapping[str, Any]) -> None:
        """Receive how the run has ended: "state" ("done", "failed" or "interrupted"), "end", "ran", "failed"."""
        ...


class ExporterNotReady(ConfigError):
    """An exporter lacks its address, or a library; a run goes on without it."""


class _Own(NamedTuple):
    """One of kart's exporters: its class, the libraries that it imports, and their extra."""

    name: str
    libraries: tuple[str, ...] = ()
    extra: str = ""


_OWN = {
    "mlflow": _Own("MlflowExporter"),
    "openlineage": _Own("OpenLineageExporter", ("openlineage.client",), "openlineage"),
    "otel": _Own("OtelExporter", ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http"), "otel"),
    "webhook": _Own("WebhookExporter"),
}

ATTEMPTS = ("done", "failed", "complete")
"""States of the records that are attempts; others only tell the next run that a file may be cut."""


def make_exporter(name: str) -> Exporter:
    """Return a new exporter of a name.

    Raises `ConfigError` if there is none, and its kinds `ExporterNotReady` or `ExtraMissing` if it lacks something; a
    run goes on without it.
    """
    try:
        exporter_names(name)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    own = _OWN.get(name)
    if own is None:
        try:
            return cast("Exporter", _class_of(name)())
        except ConfigError:
            raise
        except Exception as error:
            raise ExporterNotReady(f"the exporter {name} cannot be made: {described(error)}") from error
    for library in own.libraries:
        if not _is_installed(library):
            raise ExtraMissing(f"the exporter {name} needs {library.partition('.')[0]}", own.extra)
    return cast("Exporter", getattr(import_module(f"kart_runtime.exporters.{name}"), own.name)())


def _is_installed(library: str) -> bool:
    try:
        return find_spec(library) is not None
    except (ImportError, ValueError):  # of a parent that is not there
        return False


def own_class(name: str) -> Any:
    """Return the user's class of a name; None if it is one of kart's exporters. Raises as `make_exporter` does."""
    return None if name in _OWN else _class_of(name)


def check_classes(names: Sequence[str], key: str, file: str | None) -> None:
    """Raise `ConfigError` if a class that settings name does not exist, or is no exporter; none is made."""
    for name in names:
        try:
            own_class(name)
        except ExporterNotReady:
            continue
        except ConfigError as error:
            raise placed(error, key, file) from error


def placed(error: ConfigError, key: str, file: str | None) -> ConfigError:
    """Return an error of a name with the place of the name."""
    return ConfigError(error.message, file=file, key=key, expected=error.expected, suggestion=error.suggestion)


def _class_of(name: str) -> Any:
    """Return the user's class `package.module:Class`."""
    module_name, _, attribute = name.partition(":")
    try:
        cls: Any = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and f"{module_name}.".startswith(f"{error.name}."):
            raise ConfigError(f"the exporter {name} cannot be imported: there is no module {error.name}") from error
        raise ExporterNotReady(f"the exporter {name} cannot be imported: {described(error)}") from error
    except Exception as error:
        raise ExporterNotReady(f"the exporter {name} cannot be imported: {described(error)}") from error
    for part in attribute.split("."):
        if not hasattr(cls, part):
            guess = closest_match(part, [each for each in vars(cls) if not each.startswith("_")])
            raise ConfigError(f"the exporter {name}: {cls.__name__} has no {part}", suggestion=guess)
        cls = getattr(cls, part)
    lacking = [method for method in ("begin", "task", "end") if not callable(getattr(cls, method, None))]
    if lacking or not callable(cls):
        raise ConfigError(f"{name} is no exporter: it has no {' and no '.join(f'{each}()' for each in lacking)}")
    return cls
