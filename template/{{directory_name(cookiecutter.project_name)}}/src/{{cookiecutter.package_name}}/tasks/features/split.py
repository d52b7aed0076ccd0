"""Split the data into training and test rows."""

from typing import TypedDict

import pandas as pd
from kart_runtime import Target, parameter

from {{ cookiecutter.package_name }}.base import TaskOnKart
from {{ cookiecutter.package_name }}.lib.frames import split
from {{ cookiecutter.package_name }}.tasks.data.load import LoadData


class Rows(TypedDict):
    """Two frames with the columns of the data."""

    train: pd.DataFrame
    test: pd.DataFrame


class SplitData(TaskOnKart[Rows]):
    """Training rows and test rows, with the same share of malignant tumors in both."""

    data: LoadData = parameter(default=LoadData)
    test_fraction: float = parameter(default=0.25)
    random_state: int = parameter(default=0)

    def output(self) -> dict[str, Target]:
        """Return two parquet files."""
        return {name: self.make_target(f"features/{name}.parquet") for name in ("train", "test")}

    def run(self) -> None:
        """Split the data at random."""
        train, test = split(self.load(self.data), self.test_fraction, self.random_state)
        self.dump(train, "train")
        self.dump(test, "test")
