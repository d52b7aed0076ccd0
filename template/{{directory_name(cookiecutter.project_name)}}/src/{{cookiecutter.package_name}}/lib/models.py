"""Models: training, and predicted probabilities."""

from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from {{ cookiecutter.package_name }}.lib.frames import TARGET

KINDS = ("tree", "forest")


class Classifier(Protocol):
    """The methods of a scikit-learn model that this project uses."""

    def fit(self, X: pd.DataFrame, y: "pd.Series[int]") -> Any: ...  # noqa: N803

    def predict_proba(self, X: pd.DataFrame) -> npt.NDArray[np.float64]: ...  # noqa: N803


def fit(train: pd.DataFrame, kind: str, max_depth: int, random_state: int) -> Classifier:
    """Return a model of this kind, fitted to the rows."""
    model = _new_model(kind, max_depth, random_state)
    model.fit(train.drop(columns=TARGET), train[TARGET])
    return model


def probabilities(model: Classifier, rows: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Return the probability that each row is malignant."""
    return model.predict_proba(rows.drop(columns=TARGET))[:, 1]


def _new_model(kind: str, max_depth: int, random_state: int) -> Classifier:
    # importing scikit-learn takes seconds on a slow disk: do it only to train a model
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.tree import DecisionTreeClassifier

    if kind == "tree":
        return cast(Classifier, DecisionTreeClassifier(max_depth=max_depth, random_state=random_state))
    if kind == "forest":
        return cast(Classifier, RandomForestClassifier(max_depth=max_depth, random_state=random_state))
    raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}")
