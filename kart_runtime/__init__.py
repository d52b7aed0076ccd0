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
    from kart_runtime.frame_checks import PandasTypeConfig as PandasTypeConfig
    from kart_runtime.luigi_bridge import WorkerSchedulerFactory as WorkerSchedulerFactory
    from kart_runtime.luigi_command import add_config as add_config
    from kart_runtime.luigi_command import run as run
    from kart_runtime.memory_targets import InMemoryTarget as InMemoryTarget
    from kart_runtime.memory_targets import make_in_memory_target as make_in_memory_target
    from kart_runtime.parameters import ExplicitBoolParameter as ExplicitBoolParameter
    from kart_runtime.parameters import ListTaskInstanceParameter as ListTaskInstanceParameter
    from kart_runtime.parameters import SerializableParameter as SerializableParameter
    from kart_runtime.parameters import TaskInstanceParameter as TaskInstanceParameter
    from kart_runtime.parameters import ZonedDateSecondParameter as ZonedDateSecondParameter
    from kart_runtime.parameters import inherits_config_params as inherits_config_params
    from kart_runtime.targets import Target as Target
    from kart_runtime.targets import make_model_target as make_model_target
    from kart_runtime.targets import make_target as make_target
    from kart_runtime.task import TaskOnKart as TaskOnKart
    from kart_runtime.task_info import TaskDumpConfig as TaskDumpConfig
    from kart_runtime.task_info import TaskDumpMode as TaskDumpMode
    from kart_runtime.task_info import TaskDumpOutputType as TaskDumpOutputType
    from kart_runtime.task_info import dump_task_info_table as dump_task_info_table
    from kart_runtime.task_info import dump_task_info_tree as dump_task_info_tree
    from kart_runtime.task_info import make_task_info_as_table as make_task_info_as_table
    from kart_runtime.task_info import make_task_info_as_tree_str as make_task_info_as_tree_str
    from kart_runtime.task_info import make_tree_info as make_tree_info
    from kart_runtime.task_info import tree_info as tree_info
    from kart_runtime.testing import test_run as test_run
    from kart_runtime.workspace import delete_unnecessary_outputs as delete_unnecessary_outputs

_HOMES = {
    "BuildFailed": "errors",
    "ConfigError": "errors",
    "ExplicitBoolParameter": "parameters",
    "InMemoryTarget": "memory_targets",
    "KartError": "errors",
    "ListTaskInstanceParameter": "parameters",
    "PandasTypeConfig": "frame_checks",
    "SerializableParameter": "parameters",
    "Target": "targets",
    "TaskDumpConfig": "task_info",
    "TaskDumpMode": "task_info",
    "TaskDumpOutputType": "task_info",
    "TaskInstanceParameter": "parameters",
    "TaskOnKart": "task",
    "WorkerSchedulerFactory": "luigi_bridge",
    "ZonedDateSecondParameter": "parameters",
    "add_config": "luigi_command",
    "build": "builder",
    "delete_unnecessary_outputs": "workspace",
    "dump_task_info_table": "task_info",
    "dump_task_info_tree": "task_info",
    "inherits_config_params": "parameters",
    "make_in_memory_target": "memory_targets",
    "make_model_target": "targets",
    "make_target": "targets",
    "make_task_info_as_table": "task_info",
    "make_task_info_as_tree_str": "task_info",
    "make_tree_info": "task_info",
    "run": "luigi_command",
    "test_run": "testing",
    "tree_info": "task_info",
}

__all__ = [
    "BuildFailed",
    "ConfigError",
    "ExplicitBoolParameter",
    "InMemoryTarget",
    "KartError",
    "ListTaskInstanceParameter",
    "PandasTypeConfig",
    "SerializableParameter",
    "Target",
    "TaskDumpConfig",
    "TaskDumpMode",
    "TaskDumpOutputType",
    "TaskInstanceParameter",
    "TaskOnKart",
    "WorkerSchedulerFactory",
    "ZonedDateSecondParameter",
    "add_config",
    "build",
    "delete_unnecessary_outputs",
    "dump_task_info_table",
    "dump_task_info_tree",
    "inherits_config_params",
    "make_in_memory_target",
    "make_model_target",
    "make_target",
    "make_task_info_as_table",
    "make_task_info_as_tree_str",
    "make_tree_info",
    "run",
    "test_run",
    "tree_info",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'kart_runtime' has no attribute '{name}'")
    if name == "TaskOnKart":
        import_module("kart_runtime.luigi_bridge")  # luigi's own worker may run the tasks: it is told what that takes
    return getattr(import_module(f"kart_runtime.{_HOMES[name]}"), name)
