"""Tests of models: training, and probabilities."""

import pandas as pd
import pytest

from {{ cookiecutter.package_name }}.lib.frames import TARGET
from {{ cookiecutter.package_name }}.lib.models import KINDS, fit, probabilities

ROWS = pd.DataFrame({"size": [1.0, 2.0, 8.0, 9.0] * 5, TARGET: [0, 0, 1, 1] * 5})


@pytest.mark.parametrize("kind", KINDS)
def test_model_separates_separable_rows(kind: str) -> None:
    values = probabilities(fit(ROWS, kind, max_depth=2, random_state=0), ROWS)
    assert (values.round() == ROWS[TARGET]).all()


def test_unknown_kind_is_rejected() -> None:
    with pytest.raises(ValueError, match="tree, forest"):
        fit(ROWS, "oracle", max_depth=2, random_state=0)
