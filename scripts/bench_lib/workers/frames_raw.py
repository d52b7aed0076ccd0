"""Lower bound for data frames: a library's own five writes and four reads, ``frames_raw FORMAT ROWS``.

Parquet with zstd and feather with lz4 by pyarrow, pickle protocol 5 straight to the file, csv by pandas, polars' own.
"""

from __future__ import annotations

import pickle
import sys
import time
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet

from bench_lib.child import report
from bench_lib.workers import sample_frame


def write(frame: Any, path: str, kind: str) -> None:
    """Write the frame as this format's own library does."""
    if kind == "polars-parquet":
        frame.write_parquet(path, compression="zstd")
    elif kind == "polars-feather":
        frame.write_ipc(path)
    elif kind == "pkl":
        with open(path, "wb") as file:  # noqa: PTH123  # as short as it can be
            pickle.dump(frame, file, protocol=5)
    elif kind == "csv":
        frame.to_csv(path, index=False)
    elif kind == "parquet":
        pa.parquet.write_table(pa.Table.from_pandas(frame), path, compression="zstd")
    else:
        pa.feather.write_feather(pa.Table.from_pandas(frame), path, compression="lz4")


def read(path: str, kind: str) -> Any:
    """Read it back."""
    if kind.startswith("polars-"):
        return pl.read_parquet(path) if kind == "polars-parquet" else pl.read_ipc(path)
    if kind == "pkl":
        with open(path, "rb") as file:  # noqa: PTH123
            return pickle.load(file)
    if kind == "csv":
        return pd.read_csv(path)
    table = pa.parquet.read_table(path) if kind == "parquet" else pa.feather.read_table(path)
    return table.to_pandas()


def main(kind: str, rows: int) -> None:
    """Time the writes and reads."""
    frame = sample_frame.make(rows, kind)
    total = int(frame["count"].sum())
    wall, cpu = time.perf_counter(), time.process_time()
    write(frame, f"0.{kind}", kind)
    for index in range(sample_frame.STEPS):
        write(sample_frame.step(read(f"{index}.{kind}", kind)), f"{index + 1}.{kind}", kind)
    report(wall=time.perf_counter() - wall, cpu=time.process_time() - cpu)
    sample_frame.check(total, read(f"{sample_frame.STEPS}.{kind}", kind))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
