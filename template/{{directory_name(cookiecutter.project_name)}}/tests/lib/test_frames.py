"""Tests of the bundled data and its split."""

from {{ cookiecutter.package_name }}.lib.frames import TARGET, breast_cancer, split


def test_data_is_complete() -> None:
    frame = breast_cancer()
    assert frame.shape == (569, 31)
    assert frame[TARGET].sum() == 212
    assert not frame.isna().any().any()


def test_split_keeps_every_row_and_the_share_of_the_target() -> None:
    frame = breast_cancer()
    train, test = split(frame, 0.25, random_state=0)
    assert len(train) + len(test) == len(frame)
    assert abs(train[TARGET].mean() - test[TARGET].mean()) < 0.01


def test_split_follows_the_random_state() -> None:
    frame = breast_cancer()
    assert split(frame, 0.25, random_state=1)[1].equals(split(frame, 0.25, random_state=1)[1])
    assert not split(frame, 0.25, random_state=1)[1].equals(split(frame, 0.25, random_state=2)[1])
