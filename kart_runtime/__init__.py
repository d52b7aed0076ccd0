"""kart's engine: pipelines as Python classes, each output stored under a name hashed from its parameters and inputs.

Names are loaded when they are first used, so that ``import kart_runtime`` costs little more than luigi.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kart_runtime.builder import build as build
    from kart_runtime.errors import BuildFailed as BuildFailed
    from kart_runtime.errors import ConfigError as ConfigError
    from kart_runtime.errors import KartError as KartError
    from kart_runtime.exporters.base import Exporter as Exporter
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
    from kart_runtime.history.publication import Publication as Publication
    from kart_runtime.luigi_bridge import WorkerSchedulerFactory as WorkerSchedulerFactory
    from kart_runtime.plan.signing import sign_outputs as sign_outputs
    from kart_runtime.project import open_project as open_project
    from kart_runtime.project.configured import configured as configured
    from kart_runtime.schedule.events import BuildFinished as BuildFinished
    from kart_runtime.schedule.events import PlanMade as PlanMade
    from kart_runtime.schedule.events import TaskFinished as TaskFinished
    from kart_runtime.schedule.events import TaskLocked as TaskLocked
    from kart_runtime.schedule.events import TaskProgress as TaskProgress
    from kart_runtime.schedule.events import TaskStarted as TaskStarted
    from kart_runtime.schedule.events import TaskUnchanged as TaskUnchanged
    from kart_runtime.settings import BuildSettings as BuildSettings
    from kart_runtime.storage.codecs import Codec as Codec
    from kart_runtime.storage.memory_target import InMemoryTarget as InMemoryTarget
    from kart_runtime.storage.memory_target import make_in_memory_target as make_in_memory_target
    from kart_runtime.storage.registry import register_codec as register_codec
    from kart_runtime.storage.registry import register_store as register_store
    from kart_runtime.storage.stores import Store as Store
    from kart_runtime.storage.target import Target as Target
    from kart_runtime.storage.target import make_model_target as make_model_target
    from kart_runtime.storage.target import make_target as make_target
    from kart_runtime.task.base import TaskOnKart as TaskOnKart
    from kart_runtime.task.column_types import PandasTypeConfig as PandasTypeConfig
    from kart_runtime.task.input_file import InputFile as InputFile
    from kart_runtime.task.parameters import ExplicitBoolParameter as ExplicitBoolParameter
    from kart_runtime.task.parameters import ListTaskInstanceParameter as ListTaskInstanceParameter
    from kart_runtime.task.parameters import SecretParameter as SecretParameter
    from kart_runtime.task.parameters import SerializableParameter as SerializableParameter
    from kart_runtime.task.parameters import TaskInstanceParameter as TaskInstanceParameter
    from kart_runtime.task.parameters import ZonedDateSecondParameter as ZonedDateSecondParameter
    from kart_runtime.task.parameters import inherits_config_params as inherits_config_params
    from kart_runtime.task.parameters import parameter as parameter
    from kart_runtime.task.partitions import PartitionValues as PartitionValues
    from kart_runtime.task.partitions import partitions as partitions
    from kart_runtime.task.plain_tasks import ExternalTask as ExternalTask
    from kart_runtime.task.plain_tasks import WrapperTask as WrapperTask
    from kart_runtime.task.published import Published as Published
    from kart_runtime.task.published import find_publication as find_publication
    from kart_runtime.task.published import load_published as load_published
    from kart_runtime.task.sql_source import SqlSource as SqlSource

_HOMES = {
    "BuildFailed": "errors",
    "BuildFinished": "schedule.events",
    "BuildSettings": "settings",
    "Codec": "storage.codecs",
    "ConfigError": "errors",
    "ExplicitBoolParameter": "task.parameters",
    "Exporter": "exporters.base",
    "ExternalTask": "task.plain_tasks",
    "InMemoryTarget": "storage.memory_target",
    "InputFile": "task.input_file",
    "KartError": "errors",
    "ListTaskInstanceParameter": "task.parameters",
    "PandasTypeConfig": "task.column_types",
    "PartitionValues": "task.partitions",
    "PlanMade": "schedule.events",
    "SecretParameter": "task.parameters",
    "Publication": "history.publication",
    "Published": "task.published",
    "SerializableParameter": "task.parameters",
    "SqlSource": "task.sql_source",
    "Store": "storage.stores",
    "Target": "storage.target",
    "TaskDumpConfig": "gokart.tree.dump",
    "TaskDumpMode": "gokart.tree.dump",
    "TaskDumpOutputType": "gokart.tree.dump",
    "TaskFinished": "schedule.events",
    "TaskInstanceParameter": "task.parameters",
    "TaskLocked": "schedule.events",
    "TaskOnKart": "task.base",
    "TaskProgress": "schedule.events",
    "TaskStarted": "schedule.events",
    "TaskUnchanged": "schedule.events",
    "WorkerSchedulerFactory": "luigi_bridge",
    "WrapperTask": "task.plain_tasks",
    "ZonedDateSecondParameter": "task.parameters",
    "add_config": "gokart.config_files",
    "build": "builder",
    "configured": "project.configured",
    "delete_unnecessary_outputs": "gokart.workspace_management",
    "dump_task_info_table": "gokart.tree.task_info",
    "dump_task_info_tree": "gokart.tree.task_info",
    "find_publication": "task.published",
    "inherits_config_params": "task.parameters",
    "load_published": "task.published",
    "make_in_memory_target": "storage.memory_target",
    "make_model_target": "storage.target",
    "make_target": "storage.target",
    "make_task_info_as_table": "gokart.tree.task_info",
    "make_task_info_as_tree_str": "gokart.tree.task_info",
    "make_tree_info": "gokart.tree.task_info",
    "open_project": "project",
    "parameter": "task.parameters",
    "partitions": "task.partitions",
    "register_codec": "storage.registry",
    "register_store": "storage.registry",
    "run": "gokart.run",
    "sign_outputs": "plan.signing",
    "test_run": "gokart.empty_dumps",
    "tree_info": "gokart.tree.task_info",
}

__all__ = [
    "BuildFailed",
    "BuildFinished",
    "BuildSettings",
    "Codec",
    "ConfigError",
    "ExplicitBoolParameter",
    "Exporter",
    "ExternalTask",
    "InMemoryTarget",
    "InputFile",
    "KartError",
    "ListTaskInstanceParameter",
    "PandasTypeConfig",
    "PartitionValues",
    "PlanMade",
    "Publication",
    "Published",
    "SecretParameter",
    "SerializableParameter",
    "SqlSource",
    "Store",
    "Target",
    "TaskDumpConfig",
    "TaskDumpMode",
    "TaskDumpOutputType",
    "TaskFinished",
    "TaskInstanceParameter",
    "TaskLocked",
    "TaskOnKart",
    "TaskProgress",
    "TaskStarted",
    "TaskUnchanged",
    "WorkerSchedulerFactory",
    "WrapperTask",
    "ZonedDateSecondParameter",
    "add_config",
    "build",
    "configured",
    "delete_unnecessary_outputs",
    "dump_task_info_table",
    "dump_task_info_tree",
    "find_publication",
    "inherits_config_params",
    "load_published",
    "make_in_memory_target",
    "make_model_target",
    "make_target",
    "make_task_info_as_table",
    "make_task_info_as_tree_str",
    "make_tree_info",
    "open_project",
    "parameter",
    "partitions",
    "register_codec",
    "register_store",
    "run",
    "sign_outputs",
    "test_run",
    "tree_info",
]

_PICKLED = {
    "kart_runtime.codecs.large_frames": "kart_runtime.storage.codecs.large_frames",
    "kart_runtime.task_info.objects": "kart_runtime.gokart.tree.task_info_formatter",
}
"""Former paths of modules that pickles in workspaces name, and where these are now."""


def _forwarding(path: str, home: str) -> ModuleType:
    module = ModuleType(path, f"Former path of `{home}`, for pickles that name it.")
    module.__getattr__ = lambda name: getattr(import_module(home), name)  # type: ignore[method-assign]
    return module


sys.modules.update({path: _forwarding(path, home) for path, home in _PICKLED.items()})


def __getattr__(name: str) -> Any:
    if name == "ledger":  # a former path, of programs that look into its records
        return import_module("kart_runtime.history.ledger")
    if name not in _HOMES:
        raise AttributeError(f"module 'kart_runtime' has no attribute '{name}'")
    if name in ("TaskOnKart", "ExternalTask", "InputFile", "Published", "SqlSource", "WrapperTask"):
        import_module("kart_runtime.luigi_bridge")  # registers what luigi's own worker needs to run the tasks
    return getattr(import_module(f"kart_runtime.{_HOMES[name]}"), name)
