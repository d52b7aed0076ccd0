"""What wrote `files/`, by gokart 1.12.2: run `python gokart_files.py` in this folder where that gokart is installed."""

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
from gokart.file_processor import CsvFileProcessor, make_file_processor
from gokart.target import make_model_target, make_target

FRAME = pd.DataFrame({"whole": [1, 2], "text": ["a", 'é, "b"'], "real": [0.5, np.nan]})
POLARS = pl.DataFrame({"whole": [1, 2], "text": ["a", 'é, "b"'], "real": [0.5, None]})
LETTERS = {"A": [1, 2], "B": ["x", "y"]}


def local_object():
    factor = 4

    class Local:
        def __init__(self, x):
            self.x = x

        def times(self):
            return self.x * factor

    return Local(10)


def save(model, path):
    with open(path, "w") as file:
        file.write(model)
    with open(path.replace("model.pkl", "beside.txt"), "w") as file:
        file.write("more")


def load(path):
    with open(path) as file, open(path.replace("model.pkl", "beside.txt")) as beside:
        return file.read() + beside.read()


def write(name, value, processor=None):
    make_target(f"files/{name}", processor=processor).dump(value, lock_at_dump=False)


def main():
    keyed = FRAME.set_axis(pd.Index([3, 1], name="key"), axis=0)
    values = {
        "plain.pkl": {"a": [1, 2.5, "é", None]},
        "frame.pkl": keyed,
        "lambda.pkl": lambda x: x * 3,
        "local_class.pkl": local_object(),
        "lines.txt": ["a", 1, "é"],
        "lines.gz": ["a", 1, "é"],
        "text.ini": "[a]\nb = é\n",
        "frame.csv": FRAME,
        "frame.tsv": FRAME,
        "frame.json": FRAME,
        "frame.ndjson": FRAME,
        "frame.parquet": FRAME,
        "frame.feather": keyed,
        "empty.csv": pd.DataFrame(),
        "dict.json": LETTERS,
        "dict.ndjson": LETTERS,
        "empty_dict.json": {},
        "array.npz": np.arange(6).reshape(2, 3),
        "picture.png": b"\x89PNG\r\n",
    }
    for name, value in values.items():
        write(name, value)
    write("sjis.csv", FRAME.assign(text=["ア", "b"]), CsvFileProcessor(encoding="cp932"))
    for suffix in ("csv", "json", "ndjson", "parquet", "feather"):
        name = f"polars.{suffix}"
        write(name, POLARS, make_file_processor(name, dataframe_type="polars"))
    make_model_target("files/model.zip", "files/temporary", save, load).dump("model ", lock_at_dump=False)
    Path("files/temporary").rmdir()


if __name__ == "__main__":
    main()
