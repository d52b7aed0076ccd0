"""What does a task cost on a remote workspace, in requests? A guard, on moto's S3 and a GCS over loopback HTTP."""

from __future__ import annotations

from collections import Counter

import luigi
import pytest

from kart_runtime import TaskOnKart, build
from tests.runtime.servers import put_many


class Number(TaskOnKart[int]):
    i: luigi.IntParameter = luigi.IntParameter()

    def run(self):
        self.dump(self.i)


class Sum(TaskOnKart[int]):
    count: luigi.IntParameter = luigi.IntParameter()

    def requires(self):
        return [Number(i=i, workspace_directory=self.workspace_directory) for i in range(self.count)]

    def run(self):
        self.dump(sum(self.load()))


class Yields(TaskOnKart[int]):
    count: luigi.IntParameter = luigi.IntParameter()

    def run(self):
        yield [Number(i=i, workspace_directory=self.workspace_directory) for i in range(self.count)]
        self.dump(self.count)


class Model(TaskOnKart[list]):
    def output(self):
        return self.make_model_target("models/model.zip", save, load)

    def run(self):
        self.dump([1, 2, 3])


class UsesModel(TaskOnKart[int]):
    def requires(self):
        return Model(workspace_directory=self.workspace_directory)

    def run(self):
        self.dump(sum(self.load()))


def save(value, path):
    with open(path, "w") as file:
        file.write(" ".join(map(str, value)))


def load(path):
    with open(path) as file:
        return [int(word) for word in file.read().split()]


def asked(bucket, task, **options) -> Counter[str]:
    bucket.proxy.reset()
    build(task, **options)
    return bucket.proxy.count()


COUNT = 30


@pytest.mark.parametrize("options", [{}, {"executor": "threads", "workers": 4}], ids=["serial", "threads"])
def test_a_first_run_stores_six_objects_a_task_and_asks_once_for_each_folder(bucket, options):
    found = asked(bucket, Sum(count=COUNT, workspace_directory=bucket.url), **options)
    history = 1 if options else 0  # with several workers: how long did tasks take before?
    assert dict(found) == {"list": 2 + history, "put": 6 * (COUNT + 1) + 2}  # the folders of outputs and of runs


def test_a_run_with_nothing_to_do_asks_once_and_says_that_it_was(bucket):
    task = Sum(count=COUNT, workspace_directory=bucket.url)
    build(task)
    assert dict(asked(bucket, task, return_value=False)) == {"list": 2, "put": 1}
    assert dict(asked(bucket, task, check_all=True)) == {"list": 2, "put": 1, "get": 1}  # the value


def test_without_the_hand_off_each_value_is_read_once(bucket):
    found = asked(bucket, Sum(count=COUNT, workspace_directory=bucket.url), value_cache_mb=0)
    assert dict(found) == {"list": 2, "put": 6 * (COUNT + 1) + 2, "get": COUNT + 1}


def test_what_is_yielded_is_looked_for_by_a_list(bucket):
    found = asked(bucket, Yields(count=COUNT, workspace_directory=bucket.url), return_value=False)
    assert found["head"] == 0
    assert found["list"] <= 5
    assert found["put"] == 6 * (COUNT + 1) + 2


def test_a_model_costs_its_archive(bucket):
    found = asked(bucket, UsesModel(workspace_directory=bucket.url))
    assert dict(found) == {"list": 3, "put": 6 * 2 + 2}  # two folders, and that of runs


def test_without_log_files_a_task_costs_one_request(bucket):
    tasks = [
        Number(i=i, workspace_directory=bucket.url, should_dump_supplementary_log_files=False) for i in range(COUNT)
    ]
    assert dict(asked(bucket, tasks)) == {"list": 2, "put": COUNT + 2}


def test_worker_processes_store_the_same(bucket):
    tasks = [Number(i=i, workspace_directory=bucket.url) for i in range(6)]
    found = asked(bucket, tasks, executor="processes", workers=2, return_value=False)
    assert found["put"] == 6 * 6 + 2
    assert found["head"] == found["get"] == 0


def test_more_outputs_than_a_page_holds_are_looked_for_by_pages(bucket):
    folder = f"ws/{__name__.replace('.', '/')}"
    tasks = [Number(i=i, workspace_directory=f"{bucket.url}/ws") for i in range(1100)]
    put_many(bucket.proxy, bucket.name, [f"{folder}/Number_{task.make_unique_id()}.pkl" for task in tasks])
    found = asked(bucket, tasks, return_value=False)
    assert found["list"] == 3
    assert found["put"] == 1
    assert found["head"] <= 2
