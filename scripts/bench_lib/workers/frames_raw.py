"""Baseline for data frames: a library's own five writes and four reads, ``frames_raw FORMAT ROWS``.

Parquet with zstd and feather with lz4 by pyarrow, pickle protocol 5 straight to the file, csv by pandas.
"""

from __future__ import annotations

import pickle
import sys
import time

import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet

from bench_lib.child import report
from bench_lib.workers import sample_frame


def write(frame: pd.DataFrame, path: str, kind: str) -> None:
    """Write the frame with the format's own library."""
    if kind == "pkl":
        with open(path, "wb") as file:  # noqa: PTH123  # the shortest way
            pickle.dump(frame, file, protocol=5)
    elif kind == "csv":
        frame.to_csv(path, index=False)
    elif kind == "parquet":
        pa.parquet.write_table(pa.Table.from_pandas(frame), path, compression="zstd")
    else:
        pa.feather.write_feather(pa.Table.from_pandas(frame), path, compression="lz4")


def read(path: str, kind: str) -> pd.DataFrame:
    """Read it back."""
    frame: pd.DataFrame
    if kind == "pkl":
        with open(path, "rb") as file:  # noqa: PTH123
            frame = pickle.load(file)
        return frame
    if kind == "csv":
        return pd.read_csv(path)
    table = pa.parquet.read_table(path) if kind == "parquet" else pa.feather.read_table(path)
    frame = table.to_pandas()
    return frame


def main(kind: str, rows: int) -> None:
    """Time the writes and reads."""
    frame = sample_frame.make(rows)
    total = int(frame["count"].sum())
    wall, cpu = time.perf_counter(), time.process_time()
    write(frame, f"0.{kind}", kind)
    for index in range(sample_frame.STEPS):
        write(sample_frame.step(read(f"{index}.{kind}", kind)), f"{index + 1}.{kind}", kind)
    report(wall=time.perf_counter() - wall, cpu=time.process_time() - cpu)
    sample_frame.check(total, read(f"{sample_frame.STEPS}.{kind}", kind))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
