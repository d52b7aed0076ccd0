"""Fixture of the tests in this folder."""

from pathlib import Path

import pandas as pd
import pytest


@pytest.fixture(scope="session")
def tumors() -> pd.DataFrame:
    """Return all labeled rows; copy them before you change any."""
    return pd.read_csv(Path(__file__).parents[2] / "data" / "tumors.csv")
