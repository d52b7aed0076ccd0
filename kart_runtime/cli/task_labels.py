"""Labels of tasks; they are worked out in `plan`, since messages below the command line name tasks, too."""

from kart_runtime.plan.task_labels import TaskLabels

__all__ = ["TaskLabels"]
