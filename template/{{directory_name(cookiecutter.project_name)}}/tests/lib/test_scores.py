"""Tests of scores and of the plot, on predictions that can be checked by hand."""

import numpy as np
import pytest

from {{ cookiecutter.package_name }}.lib.scores import roc_plot, score

LABELS = np.array([0, 0, 1, 1])
GUESSES = np.array([0.1, 0.6, 0.7, 0.9])


def test_score() -> None:
    assert score(LABELS, GUESSES, threshold=0.5) == {
        "accuracy": 0.75,
        "precision": pytest.approx(0.6667),
        "recall": 1.0,
        "roc_auc": 1.0,
    }


def test_threshold_changes_the_recall() -> None:
    assert score(LABELS, GUESSES, threshold=0.8)["recall"] == 0.5


def test_plot_is_a_png() -> None:
    assert roc_plot(LABELS, {"guess": GUESSES}).startswith(b"\x89PNG")
