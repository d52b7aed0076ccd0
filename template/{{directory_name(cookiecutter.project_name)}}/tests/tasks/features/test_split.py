"""Tests of SplitData."""

import pytest
from kart_runtime import build

from {{ cookiecutter.package_name }}.tasks.features.split import SplitData


@pytest.mark.config("SplitData.test_fraction=0.1")
def test_fraction_sets_the_number_of_test_rows() -> None:
    rows = build(SplitData())
    assert (len(rows["train"]), len(rows["test"])) == (494, 55)
