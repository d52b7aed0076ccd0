"""Checks of dumped DataFrames: column types by namespace (`PandasTypeConfig`), and emptiness, as in gokart.

`TaskOnKart.dump` calls them before it stores. Without declared types they cost nothing, and no frame library is loaded
to look at a value. `schemas` checks pandera schemas.
"""

from __future__ import annotations

import functools
import reprlib
import sys
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

import luigi
from luigi.task_register import Register

from kart_runtime.errors import TaskError

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 5
"""Number of invalid rows in an error message."""


class PandasTypeError(TaskError, TypeError):
    """A column of a dumped DataFrame holds values of another type than the `PandasTypeConfig` of its namespace.

    Parameters
    ----------
    column
        The column.
    expected
        The declared type, as text.
    found
        The types of the invalid values, as text.
    rows
        Index label and value of the first invalid rows, as text.
    task
        The task that dumped it, as text; empty if unknown.
    """

    def __init__(
        self, column: str, expected: str, found: Iterable[str], rows: Iterable[tuple[str, str]], task: str = ""
    ) -> None:
        self.column, self.expected, self.task = column, expected, task
        self.found, self.rows = tuple(found), tuple(rows)
        super().__init__(
            f"{f'{task}: ' if task else ''}column '{column}' should hold {expected}, but holds "
            f"{', '.join(self.found)} at {_rows_text(self.rows)}. Convert it before the dump, or change type_dict()."
        )


def _rows_text(rows: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"row {label}: {value}" for label, value in rows)


# -- types by namespace ------------------------------------------------------------------------------------------------


class PandasTypeConfig(luigi.Config):
    """Column types of the pandas DataFrames that the tasks of a namespace dump.

    Subclass it with the `task_namespace` of the tasks, and import the subclass.

    Examples
    --------
    >>> class SalesTypes(PandasTypeConfig):
    ...     task_namespace = "sales"
    ...
    ...     @classmethod
    ...     def type_dict(cls):
    ...         return {"shop": str, "sold": int}
    """

    defined = 0
    """Number of subclasses in this process."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        PandasTypeConfig.defined += 1

    @classmethod
    @abstractmethod
    def type_dict(cls) -> dict[str, Any]:
        """Return the type, or a tuple of types, of each column. Columns that a frame lacks are not checked."""

    @classmethod
    def check(cls, df: pd.DataFrame) -> None:
        """Raise `PandasTypeError` if a value of a listed column is not an instance of its type."""
        for name, kind in cls.type_dict().items():
            if name in df.columns:
                selected: Any = df[name]
                # Several columns may have the name, or lie below it in a MultiIndex.
                columns = (
                    [selected] if selected.ndim == 1 else [selected.iloc[:, at] for at in range(selected.shape[1])]
                )
                for column in columns:
                    _check_column(column, name, kind)


def _check_column(column: pd.Series[Any], name: Any, kind: Any) -> None:
    bad = [type(value) for value in _examples(column) if not isinstance(value, kind)]
    if bad:
        wrong = (row for row in zip(column.index, column, strict=True) if not isinstance(row[1], kind))
        rows = [(str(label), _short(value)) for label, value in islice(wrong, SHOWN)]
        raise PandasTypeError(str(name), _type_text(kind), [_type_text(found) for found in dict.fromkeys(bad)], rows)


def _examples(column: pd.Series[Any]) -> Iterable[Any]:
    """Return one value of each type in a column; looks at every value only if the dtype allows several types."""
    import pandas as pd

    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return cast("Iterable[Any]", column.drop_duplicates())
    plain = not isinstance(dtype, pd.api.extensions.ExtensionDtype)
    if plain and dtype.kind == "O":
        values = column.to_numpy()
        kinds = set(map(type, values))
        return [values[0]] if len(kinds) == 1 else _first_of_each(values, kinds)
    if plain and dtype.kind in "iufbc":
        return cast("Iterable[Any]", column.iloc[:1])
    if isinstance(dtype, pd.SparseDtype) or type(dtype).__module__.partition(".")[0] not in ("pandas", "numpy"):
        return cast("Iterable[Any]", column)  # whose values may be of any types
    missing = column.isna().to_numpy()
    # Each kind once: a missing value has a type of its own (NaT, NA, or the float nan).
    return [
        example for kind in (~missing, missing) for example in column.iloc[[int(kind.argmax())] if kind.any() else []]
    ]


def _first_of_each(values: Iterable[Any], kinds: set[type]) -> Iterator[Any]:
    waiting = set(kinds)
    for value in values:
        if type(value) in waiting:
            waiting.remove(type(value))
            yield value
            if not waiting:
                return


class PandasTypeConfigMap:
    """Finds the `PandasTypeConfig` subclasses of a namespace."""

    def check(self, obj: Any, task_namespace: str) -> None:
        """Check a value that a task of the namespace dumps; anything but a pandas DataFrame passes."""
        if PandasTypeConfig.defined and _is_pandas(obj):
            registered = Register._reg
            newest = registered[-1] if registered else None
            for config in _by_namespace(PandasTypeConfig.defined, len(registered), newest).get(task_namespace, ()):
                config.check(obj)


@functools.lru_cache(maxsize=1)
def _by_namespace(_defined: int, _registered: int, _newest: Any) -> dict[str, tuple[type[PandasTypeConfig], ...]]:
    """Return the classes by namespace; the arguments make the cache notice new ones and another register."""
    named: dict[tuple[str, str], type[PandasTypeConfig]] = {}
    for cls in Register._reg:
        if issubclass(cls, PandasTypeConfig) and cls is not PandasTypeConfig:
            named[cls.task_namespace, cls.__name__] = cls  # a cell of a notebook that runs again defines it again
    grouped: dict[str, tuple[type[PandasTypeConfig], ...]] = {}
    for (namespace, _), cls in named.items():
        grouped[namespace] = (*grouped.get(namespace, ()), cls)
    # A class that another one of the namespace refines does not count beside it.
    return {
        namespace: tuple(cls for cls in group if not any(issubclass(other, cls) for other in group if other is not cls))
        for namespace, group in grouped.items()
    }


def check_types(task_namespace: str, value: Any, task_name: str) -> None:
    """Check a value about to be dumped against the types of its task's namespace."""
    if not PandasTypeConfig.defined:
        return
    try:
        PandasTypeConfigMap().check(value, task_namespace)
    except PandasTypeError as error:
        if error.task:
            raise
        raise PandasTypeError(error.column, error.expected, error.found, error.rows, task_name) from None


# -- frames ------------------------------------------------------------------------------------------------------------


def is_empty_frame(value: Any) -> bool:
    """Return whether a value is a pandas DataFrame, polars DataFrame or polars LazyFrame without rows."""
    if _is_pandas(value):
        return bool(value.empty)
    polars = sys.modules.get("polars")
    if polars is None:
        return False
    if isinstance(value, polars.LazyFrame):
        value = value.limit(1).collect()
    return isinstance(value, polars.DataFrame) and value.is_empty()


def _is_pandas(value: Any) -> bool:
    # Where nobody has loaded pandas, nothing is a frame of pandas. While it is being loaded it has no DataFrame yet.
    frame = getattr(sys.modules.get("pandas"), "DataFrame", None)
    return frame is not None and isinstance(value, frame)


def _type_text(kind: Any) -> str:
    if isinstance(kind, tuple):
        return " or ".join(map(_type_text, kind))
    if not isinstance(kind, type):
        return str(kind)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _short(value: Any) -> str:
    return reprlib.repr(value)
