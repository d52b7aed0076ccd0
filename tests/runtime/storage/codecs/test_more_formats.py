"""Documents, pictures, workbooks, compressed files and models as a user meets them: what is stored, what is said."""

from __future__ import annotations

import gzip
import io
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import plotly.graph_objects
import pyarrow as pa
import pytest
from matplotlib.figure import Figure
from PIL import Image

from kart_runtime import TaskOnKart, build, make_target
from kart_runtime.errors import CannotEncode, ObjectCorrupt
from kart_runtime.storage.codecs.losses import FormatWarning
from kart_runtime.storage.registry import CODECS, codec_for

FRAME = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})


def figure():
    made = Figure(figsize=(1, 1))
    made.subplots().plot([1, 2])
    return made


def plotly_figure():
    return plotly.graph_objects.Figure(plotly.graph_objects.Scatter(x=[1, 2], y=[3, 4]))


def dumped(suffix, value):
    file = io.BytesIO()
    codec_for(f"x{suffix}").dump(value, file)
    return file.getvalue()


VALUES = {
    ".pkl": {"a": 1},
    ".txt": "text\n",
    ".ini": "[a]\n",
    ".gz": "text\n",
    ".zst": "text\n",
    ".xml": None,
    ".md": "# A\n",
    ".html": "<p>é</p>",
    ".svg": "<svg/>",
    ".png": b"png",
    ".jpg": b"jpg",
    ".jpeg": b"jpg",
    ".pdf": b"%PDF",
    ".bin": b"\x00",
    ".json": {"a": 1},
    ".ndjson": [1, 2],
    ".jsonl": [1, 2],
    ".yaml": {"a": [1]},
    ".yml": {"a": [1]},
    ".toml": {"a": [1]},
    ".npy": np.arange(3),
    ".npz": np.arange(3),
    ".csv": FRAME,
    ".tsv": FRAME,
    ".parquet": FRAME,
    ".feather": FRAME,
    ".arrow": FRAME,
    ".orc": FRAME,
    ".xlsx": FRAME,
    ".joblib": {"a": np.arange(3)},
    ".pt": None,
    ".pth": None,
}


HALF_IS_SEEN = (".pkl", ".npy", ".npz", ".parquet", ".feather", ".arrow", ".orc", ".xlsx", ".joblib")
"""Formats of which one half is no file; in a workspace, kart knows every file by its record."""


def test_the_values_are_of_all_formats():
    assert set(VALUES) == set(CODECS) - {".folder"}  # which is no file: see tests/runtime/task/test_folders.py


@pytest.mark.parametrize("suffix", [suffix for suffix, value in VALUES.items() if value is not None])
@pytest.mark.parametrize("compression", ["", ".gz", ".zst"])
def test_every_format_is_read_as_it_was_written_also_compressed_and_half_written(tmp_path, suffix, compression):
    value = VALUES[suffix]
    if suffix in (".gz", ".zst") and compression:
        return
    target = make_target(f"{tmp_path}/x{suffix}{compression}", as_type=type(value))
    target.dump(value)
    written = Path(target.path()).read_bytes()
    read = target.load()
    assert type(read) is type(value)
    assert repr(read) == repr(value)
    target.dump(value)
    assert Path(target.path()).read_bytes() == written  # equal values give equal files
    if (suffix in HALF_IS_SEEN or compression) and len(written) > 60:
        Path(target.path()).write_bytes(written[: len(written) // 2])
        with pytest.raises(ObjectCorrupt):
            target.load()


@pytest.mark.parametrize(
    ("suffix", "value", "message"),
    [
        (".toml", FRAME, "a DataFrame .the top level must be a dict"),
        (".toml", {"a": None}, "NoneType"),
        (".yaml", {"a": FRAME}, "it cannot hold a DataFrame"),
        (".yaml", {"a": (1, 2)}, "a: a tuple, which comes back as a list .declare its type"),
        (".joblib", (n for n in [1]), "a generator .*pkl takes more"),
        (".csv", plotly_figure(), "Figure was dumped"),
        (".png", FRAME, "a figure of matplotlib or plotly, or an image of Pillow, but DataFrame"),
        (".md", ["a"], "md stores a str, but list"),
        (".html", 1, "but int was dumped"),
        (".npy", [1], "but list was dumped"),
        (".npz", {"a": [1]}, "a dict with a list as 'a'"),
        (".npz", {1: np.ones(1)}, "a dict with the key 1"),
        (".xlsx", {"a/b": FRAME}, "a sheet 'a/b'"),
        (".xlsx", "x", "but str was dumped"),
        (".xlsx", {}, "a dict without sheets"),
        (".orc", pd.DataFrame({"a": [np.float16(1)]}), "column 'a'|another type"),
        (".parquet", pa.table({"a": pa.array([1], pa.timestamp("s"))}), "column 'a' of timestamp.s.*comes back as"),
    ],
)
def test_what_a_format_cannot_hold_is_refused_in_words_of_the_user(suffix, value, message):
    with pytest.raises(CannotEncode, match=message):
        dumped(suffix, value)


@pytest.mark.parametrize(
    ("suffix", "value", "library", "message"),
    [
        (".xlsx", FRAME, "openpyxl", r"xlsx files need openpyxl\. Write kart-runtime\[excel\] into"),
        (".toml", {"a": 1}, "tomli_w", r"writing toml files needs tomli-w\. Write kart-runtime\[toml\] into"),
        (".joblib", 1, "joblib", r"\.joblib files need joblib\. Add joblib to the dependencies"),
        (".pt", 1, "torch", r"\.pt files need torch\. Add torch to the dependencies"),
        (".png", plotly_figure(), "kaleido", r"plotly needs kaleido to draw png files.*\.html or \.json"),
    ],
)
def test_a_missing_library_is_named_with_what_to_do(monkeypatch, suffix, value, library, message):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ImportError, match=message):
        dumped(suffix, value)


def test_zst_files_are_those_of_other_programs(tmp_path):
    target = make_target(f"{tmp_path}/x.csv.zst")
    target.dump(FRAME)
    with pa.input_stream(f"{tmp_path}/x.csv.zst", compression="zstd") as opened:
        assert opened.read() == b"a,b\n1,x\n2,y\n"
    assert gzip.decompress(dumped(".csv.gz", FRAME)) == b"a,b\n1,x\n2,y\n"


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".svg", ".pdf", ".html"])
def test_equal_figures_give_equal_pictures(suffix):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FormatWarning)
        assert dumped(suffix, figure()) == dumped(suffix, figure())


def test_a_picture_says_that_it_is_none_to_who_loads_a_figure(tmp_path):
    declared = make_target(f"{tmp_path}/x.png", as_type=Figure)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        declared.dump(figure())  # nobody who only stores it is bothered
        make_target(f"{tmp_path}/y.png", as_type=bytes).dump(figure())
        assert make_target(f"{tmp_path}/y.png", as_type=bytes).load().startswith(b"\x89PNG")
    with pytest.warns(FormatWarning, match="load.. gives bytes, and not the Figure that the task declares. Use .pkl"):
        declared.load()
    with pytest.warns(FormatWarning, match="png stores the picture of this Figure, and load.. gives bytes"):
        make_target(f"{tmp_path}/z.png").dump(figure())


def test_figures_of_plotly_and_images_come_back(tmp_path):
    target = make_target(f"{tmp_path}/x.json")
    target.dump(plotly_figure())
    assert target.load() == plotly_figure()
    page = make_target(f"{tmp_path}/x.html", as_type=plotly.graph_objects.Figure)
    page.dump(plotly_figure())
    assert "plotly.js" in Path(page.path()).read_text(encoding="utf-8")[:20_000]
    image = make_target(f"{tmp_path}/x.png", as_type=Image.Image)
    image.dump(Image.new("L", (2, 3), 7))
    assert (image.load().mode, image.load().tobytes()) == ("L", b"\x07" * 6)


def test_a_dict_of_frames_is_a_workbook(tmp_path):
    target = make_target(f"{tmp_path}/x.xlsx", as_type=dict[str, pd.DataFrame])
    target.dump({"train": FRAME, "test": FRAME[:1]})
    assert openpyxl.load_workbook(target.path()).sheetnames == ["train", "test"]
    read = target.load()
    assert list(read) == ["train", "test"]
    pd.testing.assert_frame_equal(read["train"], FRAME)
    with pytest.warns(FormatWarning, match=r"xlsx gives columns back changed: 'a' \(float64, read as int64\)"):
        dumped(".xlsx", pd.DataFrame({"a": [1.0]}))


def test_a_series_keeps_its_index_and_other_readers_see_a_frame(tmp_path):
    series = pd.Series([0.7, 0.3], index=["age", "size"], name="importance")
    target = make_target(f"{tmp_path}/x.parquet")
    target.dump(series)
    pd.testing.assert_series_equal(target.load(), series)
    assert pd.read_parquet(target.path())["importance"].tolist() == [0.7, 0.3]


class Rows(TaskOnKart[pa.Table]):
    suffix = ".parquet"

    def run(self):
        self.dump(pa.table({"a": [1, 2]}))


class Report(TaskOnKart[str]):
    suffix = ".html.zst"

    def requires(self):
        return Rows(workspace_directory=self.workspace_directory)

    def run(self):
        self.dump(f"<p>{self.load(self.requires())['a'].to_pylist()}</p>")


@pytest.mark.parametrize("where", ["local", "s3"])
def test_tasks_use_the_formats_on_every_store(request, tmp_path, where):
    workspace = f"{tmp_path}/" if where == "local" else f"{request.getfixturevalue('s3_bucket').url}/w/"
    assert build(Report(workspace_directory=workspace)) == "<p>[1, 2]</p>"
    assert build(Report(workspace_directory=workspace)) == "<p>[1, 2]</p>"  # read from its file


PAGE = Path(__file__).parents[4] / "docs" / "how-to" / "add-a-format.md"


def test_the_example_of_the_page_runs(tmp_path):
    csv, codec, register, program = re.findall(
        r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    package = tmp_path / "my_project"
    package.mkdir()
    (package / "__init__.py").write_text(register)
    (package / "formats.py").write_text(codec)
    (tmp_path / "features.py").write_text(f"import my_project\n{program}")
    (tmp_path / "rows.py").write_text(f"{csv}\nfrom kart_runtime import build\nprint(build(CleanRows()).age.sum())\n")
    said = [
        subprocess.run([sys.executable, name], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        for name in ("features.py", "rows.py")
    ]
    assert said == ["(2, 2) [0. 1.]\n", "73\n"]
    assert {path.name.partition("_")[0] for path in (tmp_path / "resources").rglob("*_*.svm")} == {"Features"}
    assert len(list((tmp_path / "resources").rglob("CleanRows_*.csv.gz"))) == 1


@pytest.mark.parametrize("suffix", [".parquet", ".feather", ".arrow"])
@pytest.mark.parametrize("as_type", [None, dict, dict[str, pd.Series], pd.Series])
def test_a_series_comes_back_whatever_the_task_of_several_outputs_declares(tmp_path, suffix, as_type):
    series = pd.Series([1.5, 2.5], index=[7, 9], name="price")
    target = make_target(f"{tmp_path}/y{suffix}", as_type=as_type)
    target.dump(series)
    pd.testing.assert_series_equal(target.load(), series)
    assert isinstance(make_target(f"{tmp_path}/y{suffix}", as_type=pd.DataFrame).load(), pd.DataFrame)


def test_xml_is_text_if_that_is_declared(tmp_path):
    target = make_target(f"{tmp_path}/posts.xml", as_type=str)
    target.dump("<row/>\n<row/>\n")  # several roots: no tree
    assert target.load() == "<row/>\n<row/>\n"


def test_a_warning_that_a_filter_raises_is_not_taken_for_a_damaged_file(tmp_path):
    target = make_target(f"{tmp_path}/x.png", as_type=Figure)
    target.dump(figure())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(FormatWarning, match="load\\(\\) gives bytes"):
            target.load()
