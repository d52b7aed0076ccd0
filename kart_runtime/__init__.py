"""kart's engine: pipelines as Python classes, each output stored under a name hashed from what it is made of.

Names are loaded when they are first used, so that ``import kart_runtime`` costs little more than luigi.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kart_runtime.builder import build as build
    from kart_runtime.errors import BuildFailed as BuildFailed
    from kart_runtime.errors import ConfigError as ConfigError
    from kart_runtime.errors import KartError as KartError
    from kart_runtime.parameters import ExplicitBoolParameter as ExplicitBoolParameter
    from kart_runtime.parameters import ListTaskInstanceParameter as ListTaskInstanceParameter
    from kart_runtime.parameters import SerializableParameter as SerializableParameter
    from kart_runtime.parameters import TaskInstanceParameter as TaskInstanceParameter
    from kart_runtime.parameters import ZonedDateSecondParameter as ZonedDateSecondParameter
    from kart_runtime.targets import Target as Target
    from kart_runtime.targets import make_target as make_target
    from kart_runtime.task import TaskOnKart as TaskOnKart

_HOMES = {
    "BuildFailed": "errors",
    "ConfigError": "errors",
    "ExplicitBoolParameter": "parameters",
    "KartError": "errors",
    "ListTaskInstanceParameter": "parameters",
    "SerializableParameter": "parameters",
    "Target": "targets",
    "TaskInstanceParameter": "parameters",
    "TaskOnKart": "task",
    "ZonedDateSecondParameter": "parameters",
    "build": "builder",
    "make_target": "targets",
}

__all__ = [
    "BuildFailed",
    "ConfigError",
    "ExplicitBoolParameter",
    "KartError",
    "ListTaskInstanceParameter",
    "SerializableParameter",
    "Target",
    "TaskInstanceParameter",
    "TaskOnKart",
    "ZonedDateSecondParameter",
    "build",
    "make_target",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'kart_runtime' has no attribute '{name}'")
    return getattr(import_module(f"kart_runtime.{_HOMES[name]}"), name)
