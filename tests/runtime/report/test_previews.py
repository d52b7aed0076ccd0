"""Previews of outputs of every kind, and of files that are broken."""

from __future__ import annotations

import base64
import io
import json
import pickle
from pathlib import Path

import pandas as pd
import pytest

from kart_runtime.report import previews as module
from kart_runtime.report.previews import preview_of

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.fixture
def look(tmp_path):
    def look(name, content, *, unpickles=True):
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return preview_of([str(tmp_path / name)], unpickles=unpickles)

    return look


def parquet(frame):
    buffer = io.BytesIO()
    frame.to_parquet(buffer)
    return buffer.getvalue()


def test_of_a_frame_ten_rows_and_twenty_columns_are_shown(look):
    frame = pd.DataFrame({f"c{number}": range(1000) for number in range(25)})
    for name, content in (("x.parquet", parquet(frame)), ("x.pkl", pickle.dumps(frame))):
        kind, (names, rows), remark = look(name, content)
        assert (kind, names[-1], len(rows), rows[9][0], len(rows[0])) == ("table", "c19", 10, "9", 20)
        assert remark == "1,000 rows, 25 columns, 20 shown"
    kind, (names, rows), remark = look("x.csv", frame.to_csv(index=False))
    assert (names[-1], len(rows), rows[9][0]) == ("c19", 10, "9")


def test_of_a_table_only_the_head_is_read(look, tmp_path, monkeypatch):
    frame = pd.DataFrame({"number": range(2_000_000)})
    (tmp_path / "x.parquet").write_bytes(parquet(frame))
    (tmp_path / "x.csv").write_text("number\n" + "1234567\n" * 1_000_000)
    read = 0
    real = Path.open

    def counting(self, *args, **kwargs):
        file = real(self, *args, **kwargs)

        class Counted(io.BufferedReader):
            def read(self, size=-1):
                nonlocal read
                data = super().read(size)
                read += len(data)
                return data

        return Counted(file.detach()) if isinstance(file, io.BufferedReader) else file

    monkeypatch.setattr(Path, "open", counting)
    assert preview_of([str(tmp_path / "x.csv")], unpickles=False)[0] == "table"
    assert read <= 100_000


def test_a_frame_without_rows_has_its_columns(look):
    assert look("x.parquet", parquet(pd.DataFrame({"a": []})))[1] == [["a"], []]
    assert look("x.csv", "")[1] == [[], []]


def test_images_texts_and_json(look):
    assert look("x.png", PNG) == ("image", base64.b64encode(PNG).decode(), "image/png")
    assert look("x.svg", "<svg/>")[::2] == ("image", "image/svg+xml")
    assert look("x.txt", "hello")[:2] == ("text", "hello")
    assert look("x.txt", "a" * 9_000) == ("text", "a" * 2_000, "the first 2,000 characters of 9,000 bytes")
    metrics = json.dumps({"tree": {"auc": 0.9123456789}, "forest": {"auc": 1, "f1": 2}})
    assert look("x.json", metrics)[1] == [["", "auc", "f1"], [["tree", "0.912346", ""], ["forest", "1", "2"]]]
    assert look("x.json", '{"auc": 0.5}')[1] == [["name", "value"], [["auc", "0.5"]]]
    assert look("x.json", '[{"a": 1}, {"b": 2}]')[1] == [["a", "b"], [["1", ""], ["", "2"]]]
    assert look("x.json", "6")[:2] == ("text", "6")


def test_a_value_of_another_type_has_type_and_text(look):
    assert look("x.pkl", pickle.dumps([1, 2])) == ("text", "[1, 2]", "list")


def test_a_pickle_is_loaded_only_in_its_project_and_if_it_is_small(look, monkeypatch):
    content = pickle.dumps([1, 2])
    assert look("x.pkl", content, unpickles=False)[:2] == (
        "note",
        "No preview: loading a pickle runs code of its project.",
    )
    monkeypatch.setattr(module, "MOST_PICKLE", 3)
    assert look("x.pkl", content)[1] == f"No preview: it has {len(content)} bytes."


@pytest.mark.parametrize("name", ["x.parquet", "x.json", "x.pkl", "x.csv.gz"])
def test_a_broken_file_says_why(look, name):
    kind, content, _ = look(name, b"{broken")
    assert kind == "note"
    assert content.startswith("No preview: ")
    assert len(content) > 15


def test_a_file_that_is_gone_and_an_unknown_format(look, tmp_path):
    assert preview_of([str(tmp_path / "gone.csv")], unpickles=True) == ("note", "The file is gone.", "")
    assert preview_of(["other://x.csv"], unpickles=True)[0] == "note"
    assert look("x.npy", b"1")[1] == "No preview of .npy files."


def test_what_is_too_large_is_left_out(look):
    assert "the image has 400,000 bytes" in look("x.png", b"0" * 400_000)[1]
