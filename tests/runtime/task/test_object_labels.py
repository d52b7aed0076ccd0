"""The labels of an object are those that gokart writes, and hold no secret."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any, ClassVar

import luigi
import pytest

import kart_runtime.gokart as gokart
from kart_runtime import TaskOnKart, build
from kart_runtime.storage.registry import STORES, register_store
from kart_runtime.storage.stores.memory import MemoryStore
from kart_runtime.task.object_labels import labels_of
from kart_runtime.task.parameters import ListTaskInstanceParameter, Override, TaskInstanceParameter, overriding
from tests.runtime.recorded import gokart_labels
from tests.runtime.servers import environment, gcs_server, make_bucket

RECORDED = json.loads((Path(gokart_labels.__file__).parent / "gokart_labels.json").read_text())


@pytest.mark.parametrize("name", RECORDED)
def test_labels_are_gokarts_in_gokarts_order(name):
    task, custom = gokart_labels.cases(gokart)[name]
    assert list(labels_of(task, custom).items()) == list(map(tuple, RECORDED[name]))


def test_every_recorded_case_is_compared():
    assert set(RECORDED) == set(gokart_labels.cases(gokart))


# -- what gokart does not have ---------------------------------------------------------------------------------------


class Login(TaskOnKart[str]):
    token = luigi.Parameter(default="")
    user = luigi.Parameter(default="me")

    def run(self):
        self.dump(self.user)


class Uses(TaskOnKart[str]):
    login: TaskInstanceParameter[Login] = TaskInstanceParameter()
    logins: ListTaskInstanceParameter[Login] = ListTaskInstanceParameter()

    def requires(self):
        return []


def test_secrets_are_masked_and_do_not_come_in_the_text_of_a_task():
    with overriding({Login: {"token": Override("s3cret", "x.yaml", secret=True)}}):
        login = Login()
        assert labels_of(login) == {"token": "***", "user": "me"}
        task = Uses(login=login, logins=[login])
        named = json.dumps({"type": "Login", "unique_id": login.make_unique_id()})
        assert labels_of(task) == {"login": named, "logins": json.dumps([named])}


class Nothing(TaskOnKart[str]):
    def requires(self):
        return [None, {"luigi": Plain(), (1, 2): None}]


class Plain(luigi.ExternalTask):
    def output(self):
        return luigi.LocalTarget("plain.txt")


def test_what_gokart_cannot_write_down_stops_no_dump():
    (text,) = labels_of(Nothing()).values()
    assert json.loads(text) == [
        None,
        {"luigi": {"__gokart_task_name": "Plain", "__gokart_output_path": "plain.txt"}},
    ]


# -- on their way ----------------------------------------------------------------------------------------------------


class Labelling(MemoryStore):
    """A store that keeps labels."""

    supports_labels = True
    kept: ClassVar[dict[str, Any]] = {}

    def write(self, key, labels=None):
        self.kept[key] = labels
        return super().write(key)


class Number(TaskOnKart[int]):
    value = luigi.IntParameter(default=1)

    def output(self):
        return {
            "number": self.make_target("n.pkl"),
            "large": self.make_target("l.pkl"),
            "model": self.make_model_target("m.zip", _save, _load),
        }

    def run(self):
        self.dump(self.value, "number", custom_labels={"team": "red"})
        self.dump(bytes(9 << 20), "large")  # sent in parts
        self.dump(self.value, "model")


LABELS = {"ws/n": {"team": "red", "value": "1"}, "ws/l": {"value": "1"}, "ws/m": {"value": "1"}}


def _save(value, path):
    Path(path).write_text(str(value))


def _load(path):
    return Path(path).read_text()


def test_labels_go_with_what_a_task_dumps_and_with_no_log_file(monkeypatch):
    monkeypatch.setattr(Labelling, "kept", {})
    monkeypatch.setitem(STORES, "labelled", "")
    register_store("labelled", f"{__name__}:Labelling")
    build(Number(workspace_directory="labelled://ws/"))
    kept = {key.partition("_")[0]: labels for key, labels in Labelling.kept.items() if "/log/" not in key}
    assert kept == LABELS
    assert {key: labels for key, labels in Labelling.kept.items() if "/log/" in key and labels} == {}


def test_labels_are_on_the_objects_of_gcs(monkeypatch):
    with gcs_server() as service:
        make_bucket(service, "bucket")
        for name, value in environment(service).items():
            monkeypatch.setenv(name, value)
        build(Number(workspace_directory="gs://bucket/ws/"))
        assert service.count()["patch"] == 0  # gokart asks and patches; here they went with the upload
        with urllib.request.urlopen(f"{service.url}/storage/v1/b/bucket/o?prefix=ws/") as answer:
            kept = {one["name"]: one.get("metadata") for one in json.load(answer)["items"]}
    labelled = {name.partition("_")[0]: labels for name, labels in kept.items() if labels}
    assert labelled == LABELS
    assert len(kept) > 3  # the log files, without labels


def test_labels_are_not_worked_out_where_they_are_not_kept(monkeypatch):
    monkeypatch.setattr("kart_runtime.task.base.labels_of", lambda *_: pytest.fail("worked out"))
    build(Number(workspace_directory="here"))
