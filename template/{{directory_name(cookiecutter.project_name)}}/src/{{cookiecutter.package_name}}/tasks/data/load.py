"""Load the data."""

import pandas as pd

from {{ cookiecutter.package_name }}.base import TaskOnKart
from {{ cookiecutter.package_name }}.lib.frames import breast_cancer


class LoadData(TaskOnKart[pd.DataFrame]):
    """The breast-cancer data bundled with scikit-learn."""

    def run(self) -> None:
        self.dump(breast_cancer())
