"""gokart's names for nested structures and configuration files."""

from kart_runtime.gokart.config_files import add_config
from kart_runtime.storage.codecs.pickles import load_dill_with_pandas_backward_compatibility
from kart_runtime.task.base import get_dataframe_type_from_task
from kart_runtime.task.nested import FlattenableItems, flatten, map_flattenable_items

__all__ = [
    "FlattenableItems",
    "add_config",
    "flatten",
    "get_dataframe_type_from_task",
    "load_dill_with_pandas_backward_compatibility",
    "map_flattenable_items",
]
