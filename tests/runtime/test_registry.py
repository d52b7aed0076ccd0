"""Suffixes and schemes find their code; what is unknown is said with what is known."""

from __future__ import annotations

import pytest

from kart_runtime.errors import UnknownFormat, UnknownScheme
from kart_runtime.registry import CODECS, STORES, codec_for, split_url, store_for


@pytest.mark.parametrize("suffix", CODECS)
def test_every_format_of_the_table_is_there(suffix):
    codec = codec_for(f"some.folder/name{suffix.upper()}")
    assert callable(codec.dump)
    assert callable(codec.load)


@pytest.mark.parametrize("path", ["a.xyz", "noformat", "folder.pkl/noformat", ""])
def test_an_unknown_format_names_the_known_ones(path):
    with pytest.raises(UnknownFormat, match=r"\.parquet"):
        codec_for(path)


@pytest.mark.parametrize("scheme", STORES)
def test_every_store_of_the_table_is_there(scheme):
    store, key = store_for(f"{scheme}://a/b" if scheme else "a/b")
    assert key == "a/b"
    assert store.stat("a/b") is None


@pytest.mark.parametrize("url", ["s3://bucket/x.pkl", "gs://bucket/x.pkl", "ftp://x"])
def test_an_unknown_store_names_the_known_ones(url):
    with pytest.raises(UnknownScheme, match="a path"):
        store_for(url)


def test_a_path_may_hold_a_colon():
    assert split_url("C:/x") == ("", "C:/x")
    assert split_url("file:///tmp/x") == ("file", "/tmp/x")
