"""Comparison of frames for users' tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["assert_frame_contents_equal"]


def assert_frame_contents_equal(actual: pd.DataFrame, expected: pd.DataFrame, **kwargs: Any) -> None:
    """Raise AssertionError unless two frames have the same contents, in any order of rows and columns.

    Parameters
    ----------
    actual, expected
        The frames, with unique index and columns, by which their rows and columns are matched.
    **kwargs
        Passed to `pandas.testing.assert_frame_equal`.

    Raises
    ------
    AssertionError
        The frames differ, or are not such frames.
    """
    import pandas as pd

    for name, frame in (("actual", actual), ("expected", expected)):
        _demand(isinstance(frame, pd.DataFrame), f"{name} is a {type(frame).__name__}, not a DataFrame")
        _demand(frame.index.is_unique, f"the index of {name} is not unique")
        _demand(frame.columns.is_unique, f"the columns of {name} are not unique")
    _demand(set(actual.columns) == set(expected.columns), f"columns: {_difference(actual.columns, expected.columns)}")
    _demand(set(actual.index) == set(expected.index), f"index: {_difference(actual.index, expected.index)}")
    pd.testing.assert_frame_equal(actual, expected.reindex(actual.index)[actual.columns], **kwargs)


def _demand(holds: bool, otherwise: str) -> None:
    if not holds:
        raise AssertionError(otherwise)


def _difference(actual: Any, expected: Any) -> str:
    only_actual = sorted(map(repr, set(actual) - set(expected)))
    only_expected = sorted(map(repr, set(expected) - set(actual)))
    return f"only in actual: {', '.join(only_actual) or 'none'}; only in expected: {', '.join(only_expected) or 'none'}"
