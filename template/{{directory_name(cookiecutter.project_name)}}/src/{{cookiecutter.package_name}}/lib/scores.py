"""Evaluation of predictions: scores and ROC curves."""

from collections.abc import Mapping
from io import BytesIO

import numpy as np
import numpy.typing as npt

Probabilities = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


def score(labels: Labels, probabilities: Probabilities, threshold: float) -> dict[str, float]:
    """Return accuracy, precision and recall at the threshold, and the area under the ROC curve."""
    from sklearn.metrics import roc_auc_score

    predicted = probabilities >= threshold
    true_positives = int((predicted & (labels == 1)).sum())
    return {
        "accuracy": round(float((predicted == labels).mean()), 4),
        "precision": round(true_positives / max(int(predicted.sum()), 1), 4),
        "recall": round(true_positives / max(int(labels.sum()), 1), 4),
        "roc_auc": round(float(roc_auc_score(labels, probabilities)), 4),
    }


def roc_plot(labels: Labels, probabilities: Mapping[str, Probabilities]) -> bytes:
    """Return a PNG image with the ROC curve of each model."""
    # Figure and canvas instead of pyplot: no global state, no window, thread-safe
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from sklearn.metrics import roc_curve

    figure = Figure(figsize=(5, 5), layout="tight")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for name, values in probabilities.items():
        false_positive_rate, true_positive_rate, _ = roc_curve(labels, values)
        axes.plot(false_positive_rate, true_positive_rate, label=name)
    axes.plot([0, 1], [0, 1], color="gray", linestyle="dotted", label="guessing")
    axes.set(xlabel="false positive rate", ylabel="true positive rate", title="ROC on the test rows")
    axes.legend()
    image = BytesIO()
    figure.savefig(image, format="png", metadata={"Software": None})  # reproducible bytes
    return image.getvalue()
