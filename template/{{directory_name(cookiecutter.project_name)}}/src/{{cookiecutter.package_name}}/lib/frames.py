"""Frames of tumors: their columns, and their split into rows for training and for tests.

A frame has one row per tumor: the patient, 30 measurements, and in labeled data whether the tumor is malignant.
"""

from typing import cast

import pandas as pd

PATIENT = "patient"
TARGET = "malignant"
QUANTITIES = (
    "radius",
    "texture",
    "perimeter",
    "area",
    "smoothness",
    "compactness",
    "concavity",
    "concave_points",
    "symmetry",
    "fractal_dimension",
)
MEASUREMENTS = (
    *(f"mean_{quantity}" for quantity in QUANTITIES),
    *(f"{quantity}_error" for quantity in QUANTITIES),
    *(f"worst_{quantity}" for quantity in QUANTITIES),
)
"""Columns that a model is fitted to: mean, standard error and worst value over the cell nuclei of an image."""


def measurements(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the columns that a model is fitted to, in a fixed order."""
    return frame[list(MEASUREMENTS)]


def split(frame: pd.DataFrame, test_fraction: float, random_state: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split labeled rows at random, with the same share of malignant tumors in both parts.

    Parameters
    ----------
    frame
        Labeled rows.
    test_fraction
        Share of the rows to test on, between 0 and 1.
    random_state
        Seed of the split.

    Returns
    -------
    tuple of DataFrame
        Training rows and test rows, each with a new index from 0.
    """
    from sklearn.model_selection import train_test_split

    train, test = train_test_split(frame, test_size=test_fraction, random_state=random_state, stratify=frame[TARGET])
    return cast("pd.DataFrame", train).reset_index(drop=True), cast("pd.DataFrame", test).reset_index(drop=True)


def fold_of(frame: pd.DataFrame, fold: int, n_folds: int, random_state: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows outside of one fold and those inside, with the same share of malignant tumors in every fold.

    Parameters
    ----------
    frame
        Labeled rows.
    fold
        Number of the fold, from 0 to `n_folds` - 1.
    n_folds
        Number of folds, at least 2.
    random_state
        Seed of the assignment of rows to folds; the same for all folds of a cross-validation.

    Returns
    -------
    tuple of DataFrame
        Rows to fit to and rows to score on, each with a new index from 0.
    """
    from sklearn.model_selection import StratifiedKFold

    folds = StratifiedKFold(n_folds, shuffle=True, random_state=random_state)
    outside, inside = list(folds.split(frame, frame[TARGET]))[fold]
    return frame.iloc[outside].reset_index(drop=True), frame.iloc[inside].reset_index(drop=True)
