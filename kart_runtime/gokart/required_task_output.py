"""gokart's record of an output that a task requires; `TargetOnKart._dump` may take a structure of them."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["RequiredTaskOutput"]


@dataclass
class RequiredTaskOutput:
    """Output of a required task.

    Attributes
    ----------
    task_name
        luigi's name of the task's class.
    output_path
        Path or url.
    """

    task_name: str
    output_path: str

    def serialize(self) -> dict[str, str]:
        """Return the record with the keys that gokart gives the labels of an object."""
        return {"__gokart_task_name": self.task_name, "__gokart_output_path": self.output_path}
