"""The index of records says the same as the files of the runs, whoever wrote them, and in whatever order."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import ClassVar

import luigi
import pytest

from kart_runtime import TaskInstanceParameter, TaskOnKart, build
from kart_runtime.errors import ObjectCorrupt
from kart_runtime.history.records import Records, forget_records, records_of
from kart_runtime.storage.stores.local import LocalStore


class Number(TaskOnKart[int]):
    number: luigi.IntParameter = luigi.IntParameter(default=1)

    def run(self):
        self.dump(self.number)


class Sum(TaskOnKart[int]):
    def requires(self):
        return [Number(number=number) for number in range(3)]

    def run(self):
        self.dump(sum(self.load()))


def everything(records):
    return {record.unique_id: record for record in records.all()}


def test_an_index_read_from_files_is_the_one_that_the_build_made():
    build(Sum())
    made = everything(records_of("./resources/"))
    forget_records()
    read = records_of("./resources/")
    read.refresh()
    assert everything(read) == made
    record = read.find(Sum().make_unique_id(), __name__)
    assert record is not None
    assert set(record.inputs) == {
        f"{__name__.replace('.', '/')}/Number_{one.make_unique_id()}.pkl" for one in Sum().requires()
    }


def test_a_saved_index_says_the_same_as_the_files():
    build(Sum())
    records = records_of("./resources/")
    records._unsaved_bytes = 1 << 30
    records.save()
    assert Path("resources/log/records.txt").exists()
    again = Records("./resources/")
    again.refresh()
    assert everything(again) == everything(records)
    assert again.definitions(next(iter(again.all())).code)
    build(Number(number=10))
    again.refresh()
    assert Number(number=10).make_unique_id() in everything(again)


@pytest.mark.parametrize(
    "text", ["", "{}", '{"format": "kart-records-4"}\n', "\x00\xff", '{"format": "other", "read": {}}\n-x\n']
)
def test_a_damaged_index_is_read_anew(text):
    build(Sum())
    expected = everything(records_of("./resources/"))
    Path("resources/log/records.txt").write_text(text)
    again = Records("./resources/")
    again.refresh()
    assert everything(again) == expected


def test_what_deleted_runs_said_is_forgotten():
    build(Sum())
    records = records_of("./resources/")
    records._unsaved_bytes = 1 << 30
    records.save()
    for path in Path("resources/log/runs").iterdir():
        path.unlink()
    again = Records("./resources/")
    again.refresh()
    assert not list(again.all())


def test_damaged_and_foreign_lines_are_passed_over():
    build(Sum())
    (path,) = Path("resources/log/runs").glob("*.jsonl")
    path.write_text(
        path.read_text() + '{"task": "cut\n{"task": 1, "state": "done", "outputs": [1]}\nnull\n{"task": "half'
    )
    again = Records("./resources/")
    again.refresh()
    assert set(everything(again)) == {Sum().make_unique_id(), *(one.make_unique_id() for one in Sum().requires())}


def test_a_line_that_is_being_written_is_read_when_it_is_whole():
    build(Number())
    (path,) = Path("resources/log/runs").glob("*.jsonl")
    text = path.read_text()
    record = next(line for line in text.splitlines() if line.startswith('{"task":'))
    other = json.dumps({**json.loads(record), "unique_id": "f" * 32})
    again = Records("./resources/")
    path.write_text(text + other[:50])
    again.refresh()
    assert "f" * 32 not in everything(again)
    path.write_text(text + other + "\n")
    again.refresh()
    assert "f" * 32 in everything(again)


def test_of_two_runs_at_the_same_time_the_later_attempt_counts():
    build(Number())
    (path,) = Path("resources/log/runs").glob("*.jsonl")
    lines = path.read_text().splitlines()
    done = json.loads(next(line for line in lines if line.startswith('{"task":')))
    earlier = json.dumps({**done, "started": "2000-01-01T00:00:00.000+00:00", "code": "earlier"})
    path.with_name("99991231T000000Z-00000000.jsonl").write_text(earlier + "\n")  # begun later, and read later
    again = Records("./resources/")
    again.refresh()
    record = again.find(Number().make_unique_id(), __name__)
    assert record is not None
    assert record.code == done["code"]


def test_a_moved_workspace_keeps_its_records():
    build(Sum())
    expected = everything(records_of("./resources/"))
    shutil.move("resources", "moved")
    again = Records("moved")
    again.refresh()
    assert everything(again) == expected
    output = expected[Sum().make_unique_id()].outputs[0]
    assert again.content(output.url) == output.checksum


def test_the_content_of_a_touched_file_is_its_content():
    build(Number())
    records = records_of("./resources/")
    target = Path(Number().output().path())
    record = records.expected(str(target)) or records.expected(Number().output().path())
    assert record is not None
    target.touch()
    records.refresh()
    path = records.relative(Number().output().path())
    assert records.content(path) == record.checksum
    target.write_bytes(b"other")
    records.refresh()
    assert records.content(path) not in (record.checksum, None)
    target.unlink()
    records.refresh()
    assert records.content(path) is None


class Moved(TaskOnKart[int]):
    place: ClassVar[str] = "a.json"
    value: ClassVar[int] = 1
    has_id: ClassVar[bool] = True

    def output(self):
        return self.make_target(self.place, use_unique_id=self.has_id)

    def run(self):
        self.dump(self.value)


class UsesMoved(TaskOnKart[int]):
    moved = TaskInstanceParameter(default=Moved)

    def run(self):
        self.dump(self.load(self.moved))


@pytest.mark.parametrize("has_id", [True, False])
def test_what_loaded_an_output_that_has_another_name_now_runs_again(tmp_path, monkeypatch, has_id):
    monkeypatch.setattr(Moved, "has_id", has_id)
    for number, place in enumerate(["a.json", "b.json", "c.pkl"]):
        monkeypatch.setattr(Moved, "place", place)
        monkeypatch.setattr(Moved, "value", number)
        forget_records()
        build(Moved(workspace_directory=str(tmp_path)), code_changed="rerun")
        records_of(str(tmp_path))._unsaved_bytes = 1 << 30
        records_of(str(tmp_path)).save()  # what is known of moved outputs survives in the index
        forget_records()
        task = UsesMoved(moved=Moved(workspace_directory=str(tmp_path)), workspace_directory=str(tmp_path))
        assert build(task, code_changed="rerun") == number
        assert build(task, code_changed="rerun") == number


def test_a_build_looks_only_at_files_of_runs_that_may_have_grown(monkeypatch):
    for number in range(25):
        build(Number(number=number))
    looked: list[str] = []
    stat = LocalStore.stat

    def counted(store, key):
        looked.append(key)
        return stat(store, key)

    monkeypatch.setattr(LocalStore, "stat", counted)
    build(Number(number=100))
    of_runs = [key for key in looked if "/log/runs/" in key]
    assert len(list(Path("resources/log/runs").glob("*.jsonl"))) == 26
    assert 1 <= len(of_runs) <= 3


def test_a_run_that_goes_on_is_read_to_its_end():
    build(Number())
    (path,) = Path("resources/log/runs").glob("*.jsonl")
    *lines, end = path.read_text().splitlines(keepends=True)
    assert '"end"' in end
    path.write_text("".join(lines))
    again = Records("./resources/")
    again.refresh()
    record = next(line for line in lines if line.startswith('{"task":'))
    path.write_text("".join([*lines, json.dumps({**json.loads(record), "unique_id": "f" * 32}) + "\n", end]))
    again.refresh()
    assert "f" * 32 in everything(again)


class Pair(TaskOnKart[int]):
    """A task whose value differs from try to try, and which nothing locks."""

    value: ClassVar[int] = 0

    def output(self):
        return {name: self.make_target(f"{name}.pkl") for name in "ab"}

    def run(self):
        type(self).value += 1
        for name in "ab":
            self.dump(type(self).value, name)


def overlapping_tries():
    """Let two runs of `Pair` go on at once; return the outputs of that which started first, and of the other one."""
    stored = []
    for _ in range(2):
        build(Pair(rerun=True), locks="none")
        stored.append({path: path.read_bytes() for path in Path("resources").rglob("*_*.pkl")})
    first, second = sorted(Path("resources/log/runs").glob("*.jsonl"))
    begun = next(json.loads(line) for line in second.read_text().splitlines() if '"state": "done"' in line)["started"]
    lines = [json.loads(line) for line in first.read_text().splitlines()]
    for line in lines:
        if line.get("state") == "done" and "task" in line:
            line["ended"] = begun[:4] + "9" + begun[5:]  # long after the other one has begun
    first.write_text("".join(json.dumps(line) + "\n" for line in lines))
    forget_records()
    return stored


@pytest.mark.parametrize("is_cached", [False, True])
def test_without_locks_the_try_that_was_stored_last_is_the_record(is_cached):
    first, second = overlapping_tries()
    for path, data in first.items():
        path.write_bytes(data)
    if is_cached:
        records = records_of("./resources/")
        records.refresh()
        records._unsaved_bytes = 1 << 30
        records.save()
        forget_records()
    outputs = Pair().output()
    assert [outputs[name].load() for name in "ab"] == [Pair.value - 1] * 2
    forget_records()
    build(Pair(), locks="none")
    assert {path: path.read_bytes() for path in first} == first != second


def test_outputs_of_two_tries_at_once_are_computed_again():
    first, _second = overlapping_tries()
    path = next(iter(first))
    path.write_bytes(first[path])
    value = Pair.value
    build(Pair(), locks="none")
    assert Pair.value == value + 1
    assert {outputs.load() for outputs in Pair().output().values()} == {Pair.value}


def test_an_output_of_an_earlier_try_that_had_ended_is_no_record():
    build(Pair(rerun=True), locks="none")
    first = {path: path.read_bytes() for path in Path("resources").rglob("*_*.pkl")}
    build(Pair(rerun=True), locks="none")
    for path, data in first.items():
        path.write_bytes(data)
    forget_records()
    with pytest.raises(ObjectCorrupt):
        Pair().output()["a"].load()
