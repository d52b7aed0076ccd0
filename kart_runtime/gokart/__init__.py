"""gokart's names for what the engine provides, so that a project comes over by changing its import.

``import kart_runtime.gokart as gokart`` in place of ``import gokart``. Only names are given here; what they do is
written where they come from.
"""

from kart_runtime.builder import build
from kart_runtime.parameters import (
    ExplicitBoolParameter,
    ListTaskInstanceParameter,
    SerializableParameter,
    TaskInstanceParameter,
    ZonedDateSecondParameter,
)
from kart_runtime.task import TaskOnKart

__all__ = [
    "ExplicitBoolParameter",
    "ListTaskInstanceParameter",
    "SerializableParameter",
    "TaskInstanceParameter",
    "TaskOnKart",
    "ZonedDateSecondParameter",
    "build",
]
