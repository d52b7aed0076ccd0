"""Large frames come back whole and in order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kart_runtime.errors import ConfigError, ObjectMissing
from kart_runtime.storage.codecs.archive import Archive
from kart_runtime.storage.codecs.large_frames import LargeDataFrameProcessor

FRAMES = {
    "numbers": pd.DataFrame({"a": np.arange(10_000.0)}),
    "mixed": pd.DataFrame(
        {
            "text": ["word"] * 500,
            "kind": pd.Categorical(["a", "b"] * 250),
            "when": pd.date_range("2026-01-01", periods=500, freq="h"),
        },
        index=pd.Index(range(500, 0, -1), name="key"),
    ),
    "empty": pd.DataFrame(),
    "no rows": pd.DataFrame({"a": pd.Series(dtype="int8")}),
    "no columns": pd.DataFrame(index=range(3)),
}


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
@pytest.mark.parametrize("max_byte", [1_000, 10**9])
def test_a_frame_comes_back(frame, max_byte):
    processor = LargeDataFrameProcessor(max_byte)
    processor.save(frame, "folder/model.pkl")
    pd.testing.assert_frame_equal(processor.load("folder/model.pkl"), frame, check_freq=False)


def test_parts_are_of_limited_size_and_many():
    LargeDataFrameProcessor(8_000).save(FRAMES["numbers"], "folder/model.pkl")
    parts = list(Path("folder").glob("data_*.pkl"))
    assert len(parts) > 10
    assert all(pd.read_pickle(part).memory_usage().sum() <= 8_200 for part in parts)


def test_parts_of_an_earlier_frame_go():
    processor = LargeDataFrameProcessor(8_000)
    processor.save(FRAMES["numbers"], "folder/model.pkl")
    processor.save(FRAMES["mixed"].head(2), "folder/model.pkl")
    assert len(processor.load("folder/model.pkl")) == 2


def test_it_serves_an_archive():
    processor = LargeDataFrameProcessor(8_000)
    with Path("x.zip").open("wb") as file:
        Archive(processor.save, LargeDataFrameProcessor.load).dump(FRAMES["numbers"], file)
    with Path("x.zip").open("rb") as file:
        pd.testing.assert_frame_equal(Archive(None, None).load(file), FRAMES["numbers"])


def test_mistakes_are_named():
    with pytest.raises(ConfigError, match="max_byte"):
        LargeDataFrameProcessor(0)
    with pytest.raises(ObjectMissing, match="data_0"):
        LargeDataFrameProcessor.load("nowhere/model.pkl")
