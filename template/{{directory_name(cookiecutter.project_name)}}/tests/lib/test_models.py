"""Tests of models: training, and predictions."""

import pandas as pd
import pytest

from {{ cookiecutter.package_name }}.lib.frames import MEASUREMENTS, PATIENT, TARGET
from {{ cookiecutter.package_name }}.lib.models import KINDS, fit, new_model, predictions, probabilities

SIZES = [1.0, 2.0, 8.0, 9.0] * 5
ROWS = pd.DataFrame({PATIENT: range(20), **dict.fromkeys(MEASUREMENTS, SIZES), TARGET: [0, 0, 1, 1] * 5})


@pytest.mark.parametrize("kind", KINDS)
def test_model_separates_separable_rows(kind: str) -> None:
    model = fit(new_model(kind, max_depth=2, random_state=0), ROWS)
    assert (probabilities(model, ROWS).round() == ROWS[TARGET]).all()


def test_fitting_leaves_the_given_model_as_it_is() -> None:
    first = fit(new_model("tree", max_depth=2, random_state=0), ROWS)
    other = fit(first, ROWS.assign(malignant=1 - ROWS[TARGET]))
    assert (probabilities(first, ROWS) == 1 - probabilities(other, ROWS)).all()


def test_unknown_kind_is_rejected() -> None:
    with pytest.raises(ValueError, match="tree, forest"):
        new_model("oracle", max_depth=2, random_state=0)


def test_predictions_need_no_label() -> None:
    model = fit(new_model("tree", max_depth=2, random_state=0), ROWS)
    predicted = predictions(model, ROWS.drop(columns=TARGET), threshold=0.5)
    assert list(predicted) == [PATIENT, "probability", TARGET]
    assert (predicted[TARGET] == ROWS[TARGET]).all()
