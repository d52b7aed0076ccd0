"""Files from outside: their content is their identity, wherever the project is and wherever it is run from."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import luigi
import pandas as pd
import pandera.pandas as pa
import polars as pl
import pytest
from luigi import task_register

from kart_runtime import InputFile, ListTaskInstanceParameter, TaskInstanceParameter, TaskOnKart, build
from kart_runtime.errors import BuildFailed, InputReplaced, KartError, ObjectCorrupt
from kart_runtime.task import input_file
from kart_runtime.task.schemas import SchemaMismatch
from tests.runtime.execution.executors import dask_clusters

CONTENT = "a,b\n1,2\n3,4\n"
LONG_AGO = 1_500_000_000


def settled(path: Path, text: str = CONTENT) -> Path:
    """Write a file that has not changed for long."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (LONG_AGO, LONG_AGO))
    return path


class Sum(TaskOnKart[int]):
    path: str = luigi.Parameter()

    def requires(self):
        return InputFile[pd.DataFrame](self.path)

    def run(self):
        self.dump(int(self.load(InputFile[pd.DataFrame](self.path)).a.sum()))


class SumOf(TaskOnKart[int]):
    file = TaskInstanceParameter()

    def run(self):
        self.dump(int(self.load(self.file).a.sum()))


class Sums(TaskOnKart[list]):
    files = ListTaskInstanceParameter()

    def run(self):
        self.dump([int(frame.a.sum()) for frame in self.load("files")])


def unique_id(folder: Path, path: str = "data/x.csv") -> str:
    return InputFile(path, root=str(folder)).make_unique_id()


def test_the_id_is_that_of_path_and_content(tmp_path):
    settled(tmp_path / "one/data/x.csv")
    settled(tmp_path / "two/data/x.csv")
    settled(tmp_path / "two/data/y.csv")
    settled(tmp_path / "three/data/x.csv", CONTENT.replace("1", "9"))
    assert unique_id(tmp_path / "one") == unique_id(tmp_path / "two"), "the project was moved"
    assert unique_id(tmp_path / "one") != unique_id(tmp_path / "three"), "another content of the same size"
    assert unique_id(tmp_path / "two") != unique_id(tmp_path / "two", "data/y.csv"), "another path"


def test_the_value_is_read_by_the_suffix_and_the_declared_type(tmp_path):
    path = str(settled(tmp_path / "x.csv"))

    class Polars(InputFile[pl.DataFrame]):
        pass

    class Text(InputFile[str]):
        class processor:  # of gokart's kind
            format = staticmethod(lambda: None)
            load = staticmethod(lambda file: file.read())

    assert InputFile(path).output().load().equals(pd.DataFrame({"a": [1, 3], "b": [2, 4]}))
    assert isinstance(InputFile[pd.DataFrame](path).output().load(), pd.DataFrame)
    assert isinstance(Polars(path).output().load(), pl.DataFrame)
    assert isinstance(InputFile[pl.DataFrame](path).output().load(), pl.DataFrame)


@pytest.mark.parametrize("make", [Sum, lambda path: SumOf(file=InputFile(path))], ids=["requires()", "parameter"])
def test_a_build_in_the_same_process_notices_another_content(tmp_path, make):
    path = settled(tmp_path / "x.csv")
    task = make(str(path))
    before = task.make_unique_id()
    assert build(task) == 4
    path.write_text(CONTENT.replace("1", "9"))
    assert build(task) == 12, "the task object of the first build"
    assert build(make(str(path))) == 12
    assert task.make_unique_id() == make(str(path)).make_unique_id() != before
    settled(path)
    assert build(make(str(path))) == 4
    assert task.make_unique_id() == before


def test_equal_content_is_the_same_file(tmp_path):
    path = settled(tmp_path / "x.csv")
    assert build(Sum(str(path))) == 4
    before = Sum(str(path)).make_unique_id()
    path.unlink()
    path.write_text(CONTENT)
    events = []
    build(Sum(str(path)), on_event=events.append)
    assert events[-1].summary.ran == 0
    assert Sum(str(path)).make_unique_id() == before


def test_an_unchanged_file_is_read_once(tmp_path, monkeypatch):
    path = settled(tmp_path / "x.csv")
    read = []
    checksum_of = input_file.checksum_of
    monkeypatch.setattr(input_file, "checksum_of", lambda file: read.append(1) or checksum_of(file))
    for _ in range(3):
        build([Sum(str(path)), SumOf(file=InputFile(str(path)))])
    assert len(read) == 1


def test_other_processes_do_not_read_a_large_file_again(tmp_path, monkeypatch):
    path = settled(tmp_path / "x.csv")
    monkeypatch.setattr(input_file, "LARGE", 1)
    before = unique_id(tmp_path, "x.csv")
    code = (
        "import sys; from kart_runtime.task import input_file as f; f.LARGE = 1; f.checksum_of = None\n"
        "print(f.InputFile('x.csv', root=sys.argv[1]).make_unique_id())"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == before
    path.write_text(CONTENT.replace("1", "9"))
    assert unique_id(tmp_path, "x.csv") == before, "until the next build, everything belongs to one content"


def test_a_missing_file_is_named_with_its_full_path(tmp_path):
    with pytest.raises(BuildFailed) as raised:
        build(SumOf(file=InputFile("data/x.csv", root=str(tmp_path))))
    assert "external input not found: InputFile" in str(raised.value)
    assert f"{tmp_path}/data/x.csv does not exist" in str(raised.value)
    settled(tmp_path / "data/x.csv")
    assert build(SumOf(file=InputFile("data/x.csv", root=str(tmp_path)))) == 4


def test_a_missing_file_is_explained_with_the_projects_folder_and_similar_names(tmp_path):
    settled(tmp_path / "data/sales_2024.csv")
    settled(tmp_path / "data/other.txt")

    def explained(path: str) -> str:
        with pytest.raises(BuildFailed) as raised:
            build(SumOf(file=InputFile(path, root=str(tmp_path))))
        return str(raised.value)

    text = explained("data/sale_2024.csv")
    assert f"{tmp_path}/data/sale_2024.csv does not exist. The path is relative to {tmp_path}." in text
    assert "Similar names there: sales_2024.csv." in text
    assert "other.txt" not in text
    assert f"There is no folder {tmp_path}/date." in explained("date/sales_2024.csv")
    assert "InputFile.glob(pattern) returns a list" in explained("data/*.csv")
    with pytest.raises(KartError, match=r"/data is a folder, and InputFile reads one file.*InputFile\.glob\('data/\*"):
        build(SumOf(file=InputFile("data/", root=str(tmp_path))))


def test_similar_names_in_a_bucket(bucket):
    from kart_runtime.storage.registry import store_for

    store, key = store_for(f"{bucket.url}/data/sales_2024.csv")
    with store.write(key) as file:
        file.write(CONTENT.encode())
    with pytest.raises(
        BuildFailed, match=r"data/sale_2024\.csv does not exist\. Similar names there: sales_2024\.csv\."
    ):
        build(SumOf(file=InputFile(f"{bucket.url}/data/sale_2024.csv")))


def test_a_pattern_gives_a_list_of_files(tmp_path):
    class Month(InputFile[pd.DataFrame]):
        options = {"usecols": ["a"]}

    for number in (2, 1):
        settled(tmp_path / f"data/{number}.csv", f"a,b\n{number},0\n")
    settled(tmp_path / "data/notes.txt")
    files = Month.glob("data/*.csv", root=str(tmp_path))
    assert [file.path for file in files] == ["data/1.csv", "data/2.csv"]
    assert build(Sums(files=files)) == [1, 2]
    assert [Path(file.path).name for file in Month.glob(f"{tmp_path}/data/?.csv")] == ["1.csv", "2.csv"]
    with pytest.raises(KartError, match=r"Month: no file matches .*/data/\*\.parquet"):
        Month.glob("data/*.parquet", root=str(tmp_path))


def test_a_pattern_in_a_bucket(bucket):
    from kart_runtime.storage.registry import store_for

    for name in ("data/2.csv", "data/1.csv", "data/old/3.csv", "data/x.txt"):
        store, key = store_for(f"{bucket.url}/{name}")
        with store.write(key) as file:
            file.write(CONTENT.encode())
    files = InputFile[pd.DataFrame].glob(f"{bucket.url}/data/*.csv")
    assert [file.path for file in files] == [f"{bucket.url}/data/{n}.csv" for n in (1, 2)]
    assert build(Sums(files=files)) == [4, 4]


def test_objects_are_read_with_options(bucket):
    from kart_runtime.storage.registry import store_for

    class Semicolons(InputFile[pd.DataFrame]):
        options = {"sep": ";", "dtype": {"a": str}}

    class Lazy(InputFile[pl.LazyFrame]):
        options = {"separator": ";"}

    store, key = store_for(url := f"{bucket.url}/data/x.csv")
    with store.write(key) as file:
        file.write(CONTENT.replace(",", ";").encode())
    assert list(build(Semicolons(url))["a"]) == ["1", "3"]
    assert build(Lazy(url)).collect()["b"].to_list() == [2, 4]


def test_a_class_of_a_project_reads_below_it_from_any_folder(tmp_path):
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    settled(project / "data/x.csv")
    settled(project / "pyproject.toml", '[tool.kart]\npackage = "p"\n')
    settled(
        project / "src/sources_of_project.py",
        "import luigi, pandas as pd\nfrom kart_runtime import InputFile, TaskOnKart\n"
        "class X(InputFile[pd.DataFrame]):\n    path = luigi.Parameter(default='data/x.csv')\n"
        "class Sum(TaskOnKart[int]):\n    def requires(self):\n        return X()\n"
        "    def run(self):\n        self.dump(int(self.load().a.sum()))\n",
    )
    elsewhere.mkdir()
    code = (
        f"import sys; sys.path.insert(0, {str(project / 'src')!r})\n"
        "from sources_of_project import Sum; from kart_runtime import build\n"
        "if __name__ == '__main__':\n    print(build(Sum(), executor='processes'))\n"
    )
    (elsewhere / "script.py").write_text(code)
    words = [sys.executable, "-W", "ignore", "script.py"]
    done = subprocess.run(words, cwd=elsewhere, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "4"


def test_a_type_given_in_brackets_reaches_another_process(tmp_path):
    sent = pickle.dumps(InputFile[pl.DataFrame](str(settled(tmp_path / "x.csv"))))
    task_register.Register.clear_instance_cache()  # as the other process has none of these objects
    assert isinstance(pickle.loads(sent).output().load(), pl.DataFrame)


def test_a_later_change_of_the_current_folder_does_not_matter(tmp_path):
    settled(tmp_path / "data/x.csv")
    settled(tmp_path / "elsewhere/data/x.csv", "a\n7\n")
    script = tmp_path / "script.py"
    script.write_text(
        "import os\nfrom kart_runtime import InputFile\nos.chdir('elsewhere')\n"
        "file = InputFile('data/x.csv')\nprint(file.url, file.make_unique_id())"
    )
    found = {
        subprocess.run(
            [sys.executable, "-W", "ignore", str(script)], cwd=folder, capture_output=True, text=True, check=True
        ).stdout
        for folder in (tmp_path,)
    }
    assert found == {f"{tmp_path}/data/x.csv {unique_id(tmp_path)}\n"}


def test_the_folder_of_a_project_is_found_from_a_script_in_it(tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").write_text('[tool.kart]\npackage = "p"\n')
    (tmp_path / "scripts").mkdir()
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "scripts" / "x.py")])
    assert input_file.find_root() == str(tmp_path)
    monkeypatch.setattr(sys, "argv", ["pytest"])
    monkeypatch.chdir(tmp_path / "scripts")
    assert input_file.find_root() == str(tmp_path)
    (tmp_path / "pyproject.toml").unlink()
    assert input_file.find_root() == str(tmp_path / "scripts")


def test_a_file_that_is_replaced_while_the_build_runs_is_refused(tmp_path):
    path = settled(tmp_path / "x.csv")

    class Replace(TaskOnKart[int]):
        def run(self):
            path.write_text(CONTENT.replace("1", "9"))
            self.dump(1)

    class After(TaskOnKart[int]):
        def requires(self):
            return [Replace(), InputFile(str(path))]

        def run(self):
            self.load()
            self.dump(1)

    with pytest.raises(BuildFailed) as raised:
        build(After())
    error = next(iter(raised.value.causes.values()))
    assert isinstance(error, InputReplaced)
    assert str(path) in str(error)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_it_is_never_deleted(tmp_path):
    path = settled(tmp_path / "x.csv")
    assert InputFile(str(path)).output().remove() is False
    assert path.read_text() == CONTENT


def test_a_broken_file_is_named(tmp_path):
    path = settled(tmp_path / "x.json", "{")
    with pytest.raises(ObjectCorrupt, match=r"x\.json"):
        InputFile(str(path)).output().load()


def test_several_files(tmp_path):
    files = tuple(InputFile(str(settled(tmp_path / f"{n}.csv", f"a\n{n}\n"))) for n in (1, 2))
    assert build(Sums(files=files)) == [1, 2]


@pytest.fixture(params=["threads", "processes", "dask"])
def executor(request, tmp_path):
    if request.param == "dask":
        with dask_clusters.cluster(tmp_path / "cluster") as found:
            yield {"executor": "dask", "address": found.address}
    else:
        yield {"executor": request.param, "workers": 2}


def test_workers_compute_with_the_ids_of_the_plan(tmp_path, executor):
    paths = [str(settled(tmp_path / f"{n}.csv", f"a\n{n}\n")) for n in range(3)]
    tasks = [Sum(path) for path in paths] + [SumOf(file=InputFile(path)) for path in paths]
    assert build(tasks, **executor) == [0, 1, 2, 0, 1, 2]
    settled(Path(paths[0]), "a\n10\n")
    assert build(tasks, **executor) == [10, 1, 2, 10, 1, 2]


def test_objects_have_the_version_of_their_store(bucket):
    from kart_runtime.storage.registry import store_for

    def write(text: str) -> None:
        store, key = store_for(url)
        with store.write(key) as file:
            file.write(text.encode())

    url = f"{bucket.url}/data/x.csv"
    write(CONTENT)
    before = Sum(url).make_unique_id()
    assert build(Sum(url)) == 4
    assert build(Sum(url)) == 4
    assert Sum(url).make_unique_id() == before
    write(CONTENT.replace("1", "9"))
    assert build(Sum(url)) == 12
    assert Sum(url).make_unique_id() != before


def test_a_file_that_cannot_be_looked_at_stops_only_what_needs_it(tmp_path, s3_bucket):
    from kart_runtime.storage.registry import store_for

    store, key = store_for(url := f"{s3_bucket.url}/data/x.csv")
    with store.write(key) as file:
        file.write(CONTENT.encode())
    remote = SumOf(file=InputFile(path=url))
    assert build(remote) == 4
    s3_bucket.proxy.fail("503", times=1000)
    assert build(SumOf(file=InputFile(path=str(settled(tmp_path / "local.csv"))))) == 4
    with pytest.raises(KartError, match=r"data/x\.csv"):
        build(remote)
    s3_bucket.proxy.reset()
    assert build(remote) == 4


def test_a_file_that_does_not_fit_the_schema_is_to_be_corrected(tmp_path):
    class Numbers(InputFile[pd.DataFrame]):
        schema = pa.DataFrameSchema({"a": pa.Column(int, pa.Check.ge(2))})

    with pytest.raises(SchemaMismatch, match="schema validation failed on input:") as caught:
        build(Numbers(path=str(settled(tmp_path / "numbers.csv"))))
    assert str(caught.value).endswith(
        "\n  column 'a': greater_than_or_equal_to(2) failed for 1: row 0: 1\nCorrect the file, or change the schema."
    )
