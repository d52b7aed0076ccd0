"""Models: training, and predictions."""

from typing import Literal, Protocol, cast, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from {{ cookiecutter.package_name }}.lib.frames import PATIENT, TARGET, measurements

Kind = Literal["tree", "forest"]
KINDS: tuple[Kind, ...] = get_args(Kind)

Probabilities = npt.NDArray[np.float64]


class Classifier(Protocol):
    """The methods of a scikit-learn model that this project uses."""

    def fit(self, X: pd.DataFrame, y: "pd.Series[int]") -> object:  # noqa: N803 - scikit-learn's name
        """Fit the model to rows `X` with the labels `y`."""
        ...

    def predict_proba(self, X: pd.DataFrame) -> Probabilities:  # noqa: N803 - scikit-learn's name
        """Return the probability of each class, in an array of shape (rows, classes)."""
        ...


def new_model(kind: str, max_depth: int, random_state: int) -> Classifier:
    """Return a model that is not fitted yet.

    Parameters
    ----------
    kind
        One of `KINDS`.
    max_depth
        Maximum number of decisions from the root of a tree to a leaf.
    random_state
        Seed of the training.

    Raises
    ------
    ValueError
        If there is no such kind.
    """
    # importing scikit-learn takes seconds on a slow disk: do it only to train a model
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.tree import DecisionTreeClassifier

    if kind == "tree":
        return cast("Classifier", DecisionTreeClassifier(max_depth=max_depth, random_state=random_state))
    if kind == "forest":
        return cast("Classifier", RandomForestClassifier(50, max_depth=max_depth, random_state=random_state))
    raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}")


def fit(model: Classifier, rows: pd.DataFrame) -> Classifier:
    """Return a copy of the model, with the same settings, fitted to labeled rows; the model itself stays as it is."""
    from sklearn.base import clone

    fitted = cast("Classifier", clone(model))
    fitted.fit(measurements(rows), rows[TARGET])
    return fitted


def probabilities(model: Classifier, rows: pd.DataFrame) -> Probabilities:
    """Return the probability that each tumor is malignant, in an array of shape (rows,)."""
    return model.predict_proba(measurements(rows))[:, 1]


def predictions(model: Classifier, rows: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """Predict for each patient whether the tumor is malignant.

    Parameters
    ----------
    model
        A fitted model.
    rows
        Rows, with or without a label.
    threshold
        Probability from which a tumor counts as malignant.

    Returns
    -------
    DataFrame
        One row per tumor: `patient`, `probability`, and `malignant` (0 or 1).
    """
    values = probabilities(model, rows)
    return pd.DataFrame(
        {PATIENT: rows[PATIENT], "probability": values.round(4), TARGET: (values >= threshold).astype(int)}
    )
