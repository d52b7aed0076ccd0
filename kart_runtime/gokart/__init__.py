"""gokart's names for kart, so that a project migrates by changing its imports.

``import kart_runtime.gokart as gokart`` in place of ``import gokart``, and ``from kart_runtime.gokart.x import y``.
It only gives names; their documentation is where they are defined. As with gokart, the submodules are attributes after
this one import; those that are not needed here are imported when they are asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from kart_runtime.gokart.build import WorkerSchedulerFactory, build
from kart_runtime.gokart.config_params import inherits_config_params
from kart_runtime.gokart.info import make_tree_info, tree_info
from kart_runtime.gokart.pandas_type_config import PandasTypeConfig
from kart_runtime.gokart.parameter import (
    ExplicitBoolParameter,
    ListTaskInstanceParameter,
    SerializableParameter,
    TaskInstanceParameter,
    ZonedDateSecondParameter,
)
from kart_runtime.gokart.run import run
from kart_runtime.gokart.task import TaskOnKart
from kart_runtime.gokart.testing import test_run
from kart_runtime.gokart.tree.task_info import make_task_info_as_tree_str
from kart_runtime.gokart.utils import add_config
from kart_runtime.gokart.workspace_management import delete_local_unnecessary_outputs

if TYPE_CHECKING:
    # With a redundant alias, which tells type checkers that the name belongs to this module.
    from kart_runtime.gokart import conflict_prevention_lock as conflict_prevention_lock
    from kart_runtime.gokart import errors as errors
    from kart_runtime.gokart import file_processor as file_processor
    from kart_runtime.gokart import gcs_config as gcs_config
    from kart_runtime.gokart import in_memory as in_memory
    from kart_runtime.gokart import required_task_output as required_task_output
    from kart_runtime.gokart import s3_config as s3_config
    from kart_runtime.gokart import slack as slack
    from kart_runtime.gokart import target as target
    from kart_runtime.gokart import worker as worker
else:
    _SUBMODULES = frozenset(
        {
            "conflict_prevention_lock",
            "errors",
            "file_processor",
            "gcs_config",
            "in_memory",
            "required_task_output",
            "s3_config",
            "slack",
            "target",
            "worker",
        }
    )

    def __getattr__(name: str) -> Any:
        """Return a submodule that nothing has imported so far."""
        if name in _SUBMODULES:
            return import_module(f"{__name__}.{name}")
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")

    def __dir__() -> list[str]:
        return sorted({*globals(), *_SUBMODULES})


__all__ = [
    "ExplicitBoolParameter",
    "ListTaskInstanceParameter",
    "PandasTypeConfig",
    "SerializableParameter",
    "TaskInstanceParameter",
    "TaskOnKart",
    "WorkerSchedulerFactory",
    "ZonedDateSecondParameter",
    "add_config",
    "build",
    "delete_local_unnecessary_outputs",
    "inherits_config_params",
    "make_task_info_as_tree_str",
    "make_tree_info",
    "run",
    "test_run",
    "tree_info",
]
