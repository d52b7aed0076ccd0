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
    from kart_runtime.gokart.config_files import add_config as add_config
    from kart_runtime.gokart.empty_dumps import test_run as test_run
    from kart_runtime.gokart.run import run as run
    from kart_runtime.gokart.tree.dump import TaskDumpConfig as TaskDumpConfig
    from kart_runtime.gokart.tree.dump import TaskDumpMode as TaskDumpMode
    from kart_runtime.gokart.tree.dump import TaskDumpOutputType as TaskDumpOutputType
    from kart_runtime.gokart.tree.task_info import dump_task_info_table as dump_task_info_table
    from kart_runtime.gokart.tree.task_info import dump_task_info_tree as dump_task_info_tree
    from kart_runtime.gokart.tree.task_info import make_task_info_as_table as make_task_info_as_table
    from kart_runtime.gokart.tree.task_info import make_task_info_as_tree_str as make_task_info_as_tree_str
    from kart_runtime.gokart.tree.task_info import make_tree_info as make_tree_info
    from kart_runtime.gokart.tree.task_info import tree_info as tree_info
    from kart_runtime.gokart.workspace_management import delete_unnecessary_outputs as delete_unnecessary_outputs
    from kart_runtime.luigi_bridge import WorkerSchedulerFactory as WorkerSchedulerFactory
    from kart_runtime.storage.memory_target import InMemoryTarget as InMemoryTarget
    from kart_runtime.storage.memory_target import make_in_memory_target as make_in_memory_target
    from kart_runtime.storage.target import Target as Target
    from kart_runtime.storage.target import make_model_target as make_model_target
    from kart_runtime.storage.target import make_target as make_target
    from kart_runtime.task.base import TaskOnKart as TaskOnKart
    from kart_runtime.task.column_types import PandasTypeConfig as PandasTypeConfig
    from kart_runtime.task.parameters import ExplicitBoolParameter as ExplicitBoolParameter
    from kart_runtime.task.parameters import ListTaskInstanceParameter as ListTaskInstanceParameter
    from kart_runtime.task.parameters import SerializableParameter as SerializableParameter
    from kart_runtime.task.parameters import TaskInstanceParameter as TaskInstanceParameter
    from kart_runtime.task.parameters import ZonedDateSecondParameter as ZonedDateSecondParameter
    from kart_runtime.task.parameters import inherits_config_params as inherits_config_params

_HOMES = {
    "BuildFailed": "errors",
    "ConfigError": "errors",
    "ExplicitBoolParameter": "task.parameters",
    "InMemoryTarget": "storage.memory_target",
    "KartError": "errors",
    "ListTaskInstanceParameter": "task.parameters",
    "PandasTypeConfig": "task.column_types",
    "SerializableParameter": "task.parameters",
    "Target": "storage.target",
    "TaskDumpConfig": "gokart.tree.dump",
    "TaskDumpMode": "gokart.tree.dump",
    "TaskDumpOutputType": "gokart.tree.dump",
    "TaskInstanceParameter": "task.parameters",
    "TaskOnKart": "task.base",
    "WorkerSchedulerFactory": "luigi_bridge",
    "ZonedDateSecondParameter": "task.parameters",
    "add_config": "gokart.config_files",
    "build": "builder",
    "delete_unnecessary_outputs": "gokart.workspace_management",
    "dump_task_info_table": "gokart.tree.task_info",
    "dump_task_info_tree": "gokart.tree.task_info",
    "inherits_config_params": "task.parameters",
    "make_in_memory_target": "storage.memory_target",
    "make_model_target": "storage.target",
    "make_target": "storage.target",
    "make_task_info_as_table": "gokart.tree.task_info",
    "make_task_info_as_tree_str": "gokart.tree.task_info",
    "make_tree_info": "gokart.tree.task_info",
    "run": "gokart.run",
    "test_run": "gokart.empty_dumps",
    "tree_info": "gokart.tree.task_info",
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
