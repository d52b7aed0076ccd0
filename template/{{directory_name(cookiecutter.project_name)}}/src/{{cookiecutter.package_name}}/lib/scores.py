"""Evaluation of predictions: scores, cross-validation and ROC curves."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import TypedDict

import numpy as np
import numpy.typing as npt

Probabilities = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


class Scores(TypedDict):
    """Scores of a model on rows that it was not fitted to, each between 0 and 1."""

    accuracy: float
    precision: float
    recall: float
    roc_auc: float


class Validation(TypedDict):
    """Area under the ROC curve over the folds of a cross-validation."""

    mean: float
    std: float
    folds: list[float]


class RankedModel(Scores):
    """Scores of a model on the test rows, with its kind and its cross-validation."""

    kind: str
    validation: Validation


def score(labels: Labels, probabilities: Probabilities, threshold: float) -> Scores:
    """Compare predictions with the truth.

    Parameters
    ----------
    labels
        1 for malignant, 0 for benign, of shape (rows,). Both must occur.
    probabilities
        Predicted probability that a tumor is malignant, of shape (rows,).
    threshold
        Probability from which a tumor counts as malignant. `roc_auc` does not depend on it.

    Returns
    -------
    Scores
        Scores, rounded to four digits.
    """
    predicted = probabilities >= threshold
    true_positives = int((predicted & (labels == 1)).sum())
    return {
        "accuracy": round(float((predicted == labels).mean()), 4),
        "precision": round(true_positives / max(int(predicted.sum()), 1), 4),
        "recall": round(true_positives / max(int(labels.sum()), 1), 4),
        "roc_auc": roc_auc(labels, probabilities),
    }


def roc_auc(labels: Labels, probabilities: Probabilities) -> float:
    """Return the area under the ROC curve, rounded to four digits: 0.5 for guesses, 1 for perfect predictions."""
    from sklearn.metrics import roc_auc_score

    return round(float(roc_auc_score(labels, probabilities)), 4)


def summarize(folds: Sequence[float]) -> Validation:
    """Return mean and standard deviation of the scores of the folds."""
    return {"mean": round(float(np.mean(folds)), 4), "std": round(float(np.std(folds)), 4), "folds": list(folds)}


def best_first(validations: Mapping[str, Validation]) -> list[str]:
    """Return the kinds of model, the one with the highest mean score first."""
    return sorted(validations, key=lambda kind: validations[kind]["mean"], reverse=True)


def rank(validations: Mapping[str, Validation], metrics: Mapping[str, Scores]) -> list[RankedModel]:
    """Return the scores of each kind of model, the best in the cross-validation first."""
    return [{"kind": kind, "validation": validations[kind], **metrics[kind]} for kind in best_first(validations)]


def roc_plot(labels: Labels, probabilities: Mapping[str, Probabilities]) -> bytes:
    """Draw the ROC curve of each model, with its area in the legend.

    Parameters
    ----------
    labels
        1 for malignant, 0 for benign, of shape (rows,).
    probabilities
        Name of a model to its predicted probabilities, of shape (rows,).

    Returns
    -------
    bytes
        A PNG image; equal input gives equal bytes.
    """
    # Figure and canvas instead of pyplot: no global state, no window, thread-safe
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from sklearn.metrics import roc_curve

    figure = Figure(figsize=(5, 5), layout="tight")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for name, values in probabilities.items():
        false_positive_rate, true_positive_rate, _ = roc_curve(labels, values)
        axes.plot(false_positive_rate, true_positive_rate, label=f"{name} (AUC {roc_auc(labels, values):.3f})")
    axes.plot([0, 1], [0, 1], color="gray", linestyle="dotted", label="guessing (AUC 0.5)")
    axes.set(xlabel="false positive rate", ylabel="true positive rate", title="ROC on the test rows")
    axes.legend(loc="lower right")
    image = BytesIO()
    figure.savefig(image, format="png", metadata={"Software": None})  # reproducible bytes
    return image.getvalue()
