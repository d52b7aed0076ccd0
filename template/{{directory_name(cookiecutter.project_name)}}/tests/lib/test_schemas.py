"""Tests of the schemas: what they accept, and what they reject."""

import pandas as pd
import pytest
from pandera.errors import SchemaErrors

from {{ cookiecutter.package_name }}.lib.frames import TARGET
from {{ cookiecutter.package_name }}.lib.schemas import NEW_TUMORS, TUMORS


def test_labeled_rows_fit(tumors: pd.DataFrame) -> None:
    TUMORS.validate(tumors)
    NEW_TUMORS.validate(tumors.drop(columns=TARGET))


@pytest.mark.parametrize(
    "change",
    [{"mean_area": -1.0}, {"mean_area": None}, {"mean_area": "large"}, {"patient": 1}, {TARGET: 2}, {"hospital": "A"}],
    ids=lambda change: " ".join(map(str, *change.items())),
)
def test_wrong_rows_are_rejected(tumors: pd.DataFrame, change: dict[str, float | str | None]) -> None:
    with pytest.raises(SchemaErrors, match=next(iter(change))):
        TUMORS.validate(tumors.assign(**change), lazy=True)


def test_a_missing_column_is_rejected(tumors: pd.DataFrame) -> None:
    with pytest.raises(SchemaErrors, match="worst_radius"):
        TUMORS.validate(tumors.drop(columns="worst_radius"), lazy=True)
