"""Tests of the columns, and of the split into training, test and validation rows."""

import pandas as pd

from {{ cookiecutter.package_name }}.lib.frames import MEASUREMENTS, TARGET, fold_of, measurements, split


def test_measurements_are_all_columns_but_patient_and_label(tumors: pd.DataFrame) -> None:
    assert list(measurements(tumors)) == list(tumors.columns[1:-1]) == list(MEASUREMENTS)


def test_split_keeps_every_row_and_the_share_of_malignant_tumors(tumors: pd.DataFrame) -> None:
    train, test = split(tumors, 0.25, random_state=0)
    assert sorted([*train["patient"], *test["patient"]]) == list(tumors["patient"])
    assert abs(train[TARGET].mean() - test[TARGET].mean()) < 0.01


def test_split_follows_the_random_state(tumors: pd.DataFrame) -> None:
    assert split(tumors, 0.25, random_state=1)[1].equals(split(tumors, 0.25, random_state=1)[1])
    assert not split(tumors, 0.25, random_state=1)[1].equals(split(tumors, 0.25, random_state=2)[1])


def test_every_row_is_in_one_fold(tumors: pd.DataFrame) -> None:
    folds = [fold_of(tumors, fold, n_folds=3, random_state=0) for fold in range(3)]
    assert sorted(pd.concat([inside for _, inside in folds])["patient"]) == list(tumors["patient"])
    for outside, inside in folds:
        assert len(outside) + len(inside) == len(tumors)
        assert set(outside["patient"]).isdisjoint(inside["patient"])
        assert abs(inside[TARGET].mean() - tumors[TARGET].mean()) < 0.01
