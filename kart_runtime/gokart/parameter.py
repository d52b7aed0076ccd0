"""gokart's names of its parameters."""

from kart_runtime.task.parameters import (
    ExplicitBoolParameter,
    ListTaskInstanceParameter,
    Serializable,
    SerializableParameter,
    TaskInstanceParameter,
    ZonedDateSecondParameter,
)

__all__ = [
    "ExplicitBoolParameter",
    "ListTaskInstanceParameter",
    "Serializable",
    "SerializableParameter",
    "TaskInstanceParameter",
    "ZonedDateSecondParameter",
]
