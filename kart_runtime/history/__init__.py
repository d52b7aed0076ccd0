"""Records of past runs: reading and writing them, durations, and the files that may be deleted.

`History` answers what has run in a workspace, and loads what is still stored of it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kart_runtime.history.compare import CompareTable as CompareTable
    from kart_runtime.history.history import History as History
    from kart_runtime.history.history import PastTask as PastTask

_HOMES = {"CompareTable": "compare", "History": "history", "PastTask": "history"}

__all__ = ["CompareTable", "History", "PastTask"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'kart_runtime.history' has no attribute '{name}'")
    return getattr(import_module(f"kart_runtime.history.{_HOMES[name]}"), name)
