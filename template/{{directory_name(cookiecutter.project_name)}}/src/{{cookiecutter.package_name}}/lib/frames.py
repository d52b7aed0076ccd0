"""Sample data, and its split into training and test rows."""

from typing import Any

import pandas as pd

TARGET = "malignant"


def breast_cancer() -> pd.DataFrame:
    """Return scikit-learn's bundled breast-cancer data: 569 tumors, 30 measurements each, and `malignant` (0 or 1)."""
    from sklearn.datasets import load_breast_cancer

    data: Any = load_breast_cancer(as_frame=True)
    frame: pd.DataFrame = data.data.rename(columns=lambda name: name.replace(" ", "_"))
    frame[TARGET] = 1 - data.target  # scikit-learn's target is 1 for benign
    return frame


def split(frame: pd.DataFrame, test_fraction: float, random_state: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return training rows and test rows, with the same share of malignant tumors in both."""
    from sklearn.model_selection import train_test_split

    parts: Any = train_test_split(frame, test_size=test_fraction, random_state=random_state, stratify=frame[TARGET])
    train, test = (part.reset_index(drop=True) for part in parts)
    return train, test
