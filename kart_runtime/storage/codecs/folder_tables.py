"""Tables in folders of parquet files: written partitioned by columns, read as lazily as their type allows.

As in Hive, ``day=2026-01-01/part-0.parquet`` holds the rows of one day; the column ``day`` stands in the names only.
polars and pyarrow then open the files that a filter needs, and no others.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kart_runtime.storage.codecs.libraries import library_of

_TEMPLATE = "part-{i}.parquet"


def is_dataset(declared: Any) -> bool:
    """Return whether a declared type is a dataset of pyarrow, which is always a folder."""
    return inspect.isclass(declared) and declared.__module__ == "pyarrow._dataset" and "Dataset" in declared.__name__


def value_of(path: Path, as_type: Any) -> Any:
    """Return a folder as the declared type: a table of its parquet files, or else the path."""
    if is_dataset(as_type):
        return _dataset(path)
    if _is_arrow_table(as_type):
        return _dataset(path).to_table()
    library = library_of(as_type)
    if library == "pandas":
        return _dataset(path).to_table().to_pandas()
    if library is None:
        return path
    import polars as pl

    frame = pl.scan_parquet(path / "**" / "*.parquet", hive_partitioning=True)
    return frame if library == "polars-lazy" else frame.collect()


def _dataset(path: Path) -> Any:
    import pyarrow as pa
    import pyarrow.dataset
    import pyarrow.parquet

    try:
        return pyarrow.dataset.dataset(path, format="parquet", partitioning="hive")
    except pa.ArrowTypeError:  # polars writes the columns of the names into the files, too, in types of its own
        first = next(file for file in sorted(path.rglob("*.parquet")))
        names = [part.partition("=")[0] for part in first.relative_to(path).parent.parts]
        inside = pyarrow.parquet.read_schema(first)
        fields = [inside.field(name) if name in inside.names else pa.field(name, pa.string()) for name in names]
        partitioning = pyarrow.dataset.partitioning(pa.schema(fields), flavor="hive")
        return pyarrow.dataset.dataset(path, format="parquet", partitioning=partitioning)


def _is_arrow_table(kind: Any) -> bool:
    return inspect.isclass(kind) and kind.__module__ == "pyarrow.lib" and kind.__name__ == "Table"


def write(value: Any, path: Path, partition_by: Sequence[str]) -> bool:
    """Write a table into an empty folder, partitioned by columns; return False if it is no table."""
    table = _as_arrow(value)
    if table is None:
        return False
    import pyarrow.dataset

    pyarrow.dataset.write_dataset(
        table,
        path,
        format="parquet",
        basename_template=_TEMPLATE,
        partitioning=list(partition_by) or None,
        partitioning_flavor="hive" if partition_by else None,
        max_partitions=100_000,
        existing_data_behavior="overwrite_or_ignore",
    )
    return True


def _as_arrow(value: Any) -> Any:
    """Return a table or dataset of pyarrow with the rows of any table, None for everything else."""
    if is_dataset(type(value)) or _is_arrow_table(type(value)):
        return value
    library = library_of(type(value))
    if library == "pandas":
        import pyarrow as pa

        return pa.Table.from_pandas(value, preserve_index=None)
    if library is None:
        return None
    return (value.collect() if library == "polars-lazy" else value).to_arrow()
