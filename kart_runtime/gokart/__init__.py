"""gokart's names for kart, so that a project migrates by changing its imports.

``import kart_runtime.gokart as gokart`` in place of ``import gokart``, and ``from kart_runtime.gokart.x import y``.
It only gives names; their documentation is where they are defined.
"""

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
