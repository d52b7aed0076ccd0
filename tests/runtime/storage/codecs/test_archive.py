"""Models come back from their archives, alone or many at once, and leave no folders behind."""

from __future__ import annotations

import io
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kart_runtime.storage.codecs.archive import Archive, BadArchive


class Unseekable:
    """What `targets` gives to a dump: it can be written to and nothing else."""

    def __init__(self):
        self.data = bytearray()

    def write(self, data):
        self.data += data
        return len(data)

    def tell(self):
        return len(self.data)

    def flush(self):
        pass


def save(model, path):
    Path(path).write_text(model)
    (Path(path).parent / "deep" / "empty").mkdir(parents=True)
    (Path(path).parent / "deep" / "beside.txt").write_text("more")


def load(path):
    assert (Path(path).parent / "deep" / "empty").is_dir()
    return Path(path).read_text() + (Path(path).parent / "deep" / "beside.txt").read_text()


def dumped(model, **options):
    file = Unseekable()
    Archive(save, options.pop("load_function", load), **options).dump(model, file)
    return bytes(file.data)


def test_a_model_comes_back_by_the_given_and_by_the_stored_function():
    data = dumped("model ")
    assert Archive(save, load).load(io.BytesIO(data)) == "model more"
    assert Archive(None, None).load(io.BytesIO(data)) == "model more"
    assert set(zipfile.ZipFile(io.BytesIO(data)).namelist()) >= {"model.pkl", "load_function.pkl"}


def test_equal_models_are_equal_bytes():
    assert dumped("model") == dumped("model")


def test_folders_are_below_the_given_one_and_removed(tmp_path):
    folder = tmp_path / "a" / "b"
    data = dumped("model", temporary_directory=str(folder))
    seen = []
    archive = Archive(None, lambda path: seen.append(Path(path)) or load(path), str(folder))
    archive.load(io.BytesIO(data))
    assert seen[0].parent.parent == folder
    assert list(folder.iterdir()) == []


def test_folders_are_removed_when_functions_fail(tmp_path):
    def fail(*_):
        raise RuntimeError("no")

    data = dumped("model")
    with pytest.raises(RuntimeError, match="no"):
        Archive(fail, fail, str(tmp_path)).dump("model", Unseekable())
    with pytest.raises(RuntimeError, match="no"):
        Archive(fail, fail, str(tmp_path)).load(io.BytesIO(data))
    assert list(tmp_path.iterdir()) == []


def test_many_loads_at_once_do_not_meet(tmp_path):
    data = [dumped(f"model {number} ") for number in range(4)]
    archive = Archive(save, load, str(tmp_path))
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(lambda number: archive.load(io.BytesIO(data[number % 4])), range(64)))
    assert read == [f"model {number % 4} more" for number in range(64)]


@pytest.mark.parametrize("name", ["../evil.txt", "/evil.txt", "a/../../evil.txt", "..\\evil.txt"])
def test_no_file_is_written_outside(name, tmp_path):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, "x")
    with pytest.raises(BadArchive, match="outside"):
        Archive(None, load, str(tmp_path / "t")).load(io.BytesIO(file.getvalue()))
    assert not list(tmp_path.rglob("*evil*"))


def test_missing_functions_are_named():
    with pytest.raises(BadArchive, match="save_function"):
        Archive(None, load).dump("model", Unseekable())
    with pytest.raises(BadArchive, match="load_function"):
        Archive(None, None).load(io.BytesIO(dumped("model", load_function=None)))
