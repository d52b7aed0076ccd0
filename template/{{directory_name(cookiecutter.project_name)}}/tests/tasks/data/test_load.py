"""Tests of LoadData and LoadNewData."""

from pathlib import Path

import pandas as pd
import pytest
from kart_runtime import BuildFailed, build

from {{ cookiecutter.package_name }}.lib.frames import MEASUREMENTS
from {{ cookiecutter.package_name }}.tasks.data.load import LoadData, LoadNewData
from {{ cookiecutter.package_name }}.tasks.features.split import SplitData


def test_loads_labeled_tumors() -> None:
    assert build(LoadData()).shape == (549, 32)


def test_loads_new_tumors_without_a_label() -> None:
    assert list(build(LoadNewData())) == ["patient", *MEASUREMENTS]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mean_radius": -1.0}, "column 'mean_radius': greater_than_or_equal_to"),
        ({"malignant": "no"}, "column 'malignant': dtype"),
    ],
)
def test_a_wrong_file_is_rejected_by_column(
    tumors: pd.DataFrame, tmp_path: Path, change: dict[str, float | str], message: str
) -> None:
    path = tmp_path / "tumors.csv"
    tumors.assign(**change).to_csv(path, index=False)
    with pytest.raises(BuildFailed, match=message):
        build(SplitData(data=LoadData(path=str(path))))
