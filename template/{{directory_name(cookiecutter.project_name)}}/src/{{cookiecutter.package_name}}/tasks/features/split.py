"""Split the data into training and test rows."""

from typing import Any

import luigi
import pandas as pd

from {{ cookiecutter.package_name }}.base import TaskOnKart
from {{ cookiecutter.package_name }}.lib.frames import split
from {{ cookiecutter.package_name }}.tasks.data.load import LoadData


class SplitData(TaskOnKart[dict[str, pd.DataFrame]]):
    """Two outputs: `train` and `test`."""

    test_fraction: luigi.FloatParameter = luigi.FloatParameter(default=0.2)
    random_state: luigi.IntParameter = luigi.IntParameter(default=0)

    def requires(self) -> LoadData:
        return LoadData()

    def output(self) -> dict[str, Any]:
        return {name: self.make_target(f"features/{name}.parquet") for name in ("train", "test")}

    def run(self) -> None:
        train, test = split(self.load(LoadData()), self.test_fraction, self.random_state)
        self.dump(train, "train")
        self.dump(test, "test")
