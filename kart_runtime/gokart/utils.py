"""gokart's names of what goes through structures and reads configuration files."""

from kart_runtime.codecs.plain import load_dill_with_pandas_backward_compatibility
from kart_runtime.luigi_command import add_config
from kart_runtime.structures import FlattenableItems, flatten, map_flattenable_items
from kart_runtime.task import get_dataframe_type_from_task

__all__ = [
    "FlattenableItems",
    "add_config",
    "flatten",
    "get_dataframe_type_from_task",
    "load_dill_with_pandas_backward_compatibility",
    "map_flattenable_items",
]
