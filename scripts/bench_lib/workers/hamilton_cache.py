# mypy: disable-error-code="no-untyped-call, import-untyped, import-not-found"
"""hamilton with its cache: one function node per task, in a module like a user's; one value file per task.

It also writes the module, and one SQLite file that maps code and inputs to values. hamilton walks the graph
recursively, hence the recursion limit.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from hamilton import driver

from bench_lib.graphs import dependencies


def tasks(shape: str, count: int) -> ModuleType:
    """Write a module with one function per task, and import it."""
    lines = []
    for index in range(count):
        above = ", ".join(f"t{other}: int" for other in dependencies(shape, count, index))
        lines.append(f"def t{index}({above}) -> int:\n    return {index}\n")
    path = Path("tasks.py")
    if not path.exists():
        path.write_text("\n\n".join(lines), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("tasks", path)
    if spec is None or spec.loader is None:
        raise ImportError(str(path))
    module = sys.modules["tasks"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main(shape: str, count: int) -> None:
    """Compute the value of the root."""
    sys.setrecursionlimit(1_000_000)
    root = f"t{count - 1}"
    values = driver.Builder().with_modules(tasks(shape, count)).with_cache(path="cache").build().execute([root])
    if values[root] != count - 1:
        raise SystemExit(f"wrong value: {values[root]}")


if __name__ == "__main__" and int(sys.argv[2]):
    main(sys.argv[1], int(sys.argv[2]))
