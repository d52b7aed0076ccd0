"""Files that the pipeline reads."""

import luigi
import pandas as pd
from kart_runtime import InputFile

from {{ cookiecutter.package_name }}.lib.schemas import NEW_TUMORS, TUMORS


class LoadData(InputFile[pd.DataFrame]):
    """Tumors with a label, for training and tests. A changed file runs everything downstream again."""

    path: luigi.Parameter[str] = luigi.Parameter(default="data/tumors.csv")
    schema = TUMORS


class LoadNewData(InputFile[pd.DataFrame]):
    """Tumors without a label, for predictions."""

    path: luigi.Parameter[str] = luigi.Parameter(default="data/new_tumors.csv")
    schema = NEW_TUMORS
