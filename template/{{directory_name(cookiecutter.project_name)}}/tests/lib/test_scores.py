"""Tests of scores, ranking and plot, on predictions that can be checked by hand."""

import numpy as np
import pytest

from {{ cookiecutter.package_name }}.lib.scores import Scores, Validation, rank, roc_plot, score, summarize

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


def test_summary_of_folds() -> None:
    assert summarize([0.8, 1.0]) == {"mean": 0.9, "std": 0.1, "folds": [0.8, 1.0]}


def test_ranking_follows_the_cross_validation() -> None:
    scores: Scores = {"accuracy": 0.5, "precision": 0.5, "recall": 0.5, "roc_auc": 0.5}
    validations: dict[str, Validation] = {"a": summarize([0.7, 0.8]), "b": summarize([0.9, 0.9])}
    ranking = rank(validations, {"a": {**scores, "roc_auc": 1.0}, "b": scores})
    assert [model["kind"] for model in ranking] == ["b", "a"]
    assert ranking[0]["validation"]["mean"] == 0.9
    assert ranking[1]["roc_auc"] == 1.0


def test_plot_is_a_png() -> None:
    assert roc_plot(LABELS, {"guess": GUESSES}).startswith(b"\x89PNG")
