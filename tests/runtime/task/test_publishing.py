"""The attribute `publish`: once after a build, what is complete and is not what is published already."""

from __future__ import annotations

import subprocess
import textwrap
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import luigi
import numpy as np
import pytest

from kart_runtime import (
    BuildFailed,
    TaskOnKart,
    build,
    delete_unnecessary_outputs,
    find_publication,
    load_published,
    make_in_memory_target,
)
from kart_runtime.history.publication import PublishRefused
from kart_runtime.history.published import PublishedFile, published_paths
from kart_runtime.storage.target import Target
from kart_runtime.task.publishing import metrics_of, publish

WORKSPACE = "./resources/"
PATH = "models/current.pkl"


class Rows(TaskOnKart[list]):
    def run(self):
        self.task_log["rows"] = np.int64(3)
        self.dump([1, 2, 3])


class Model(TaskOnKart[dict]):
    depth: luigi.IntParameter = luigi.IntParameter(default=1)
    publish = PATH

    def requires(self):
        return Rows()

    def run(self):
        self.task_log["accuracy"] = 0.9
        self.dump({"depth": self.depth})


class Evaluate(TaskOnKart[int]):
    depth: luigi.IntParameter = luigi.IntParameter(default=1)

    def requires(self):
        return Model(depth=self.depth)

    def run(self):
        self.dump(1)


def summary_of(task, **options):
    events = []
    with suppress(BuildFailed):
        build(task, on_event=events.append, **options)
    return events[-1].summary


def file():
    return PublishedFile(WORKSPACE, PATH)


def test_a_task_is_published_once_and_its_record_explains_it():
    summary = summary_of(Evaluate())
    entry = find_publication(WORKSPACE, PATH)
    assert summary.published == (f"Model[{entry.unique_id[:8]}] published as {PATH} ({entry.id[:8]})",)
    assert (entry.task, entry.module, entry.unique_id) == ("Model", __name__, Model().make_unique_id())
    assert entry.params == {"depth": "1"}
    assert entry.output.endswith(f"Model_{entry.unique_id}.pkl")
    assert len(entry.run_id) > 10
    assert entry.metrics == {"Model": {"accuracy": 0.9}, "Rows": {"rows": 3}}
    assert load_published(WORKSPACE, PATH) == {"depth": 1}
    assert summary_of(Evaluate()).published == ()
    assert find_publication(WORKSPACE, PATH) == entry


def test_what_is_complete_and_not_published_is_published():
    build(Evaluate())
    build(Evaluate(depth=2))
    assert load_published(WORKSPACE, PATH) == {"depth": 2}
    summary = summary_of(Evaluate())
    assert (summary.ran, len(summary.published)) == (0, 1)
    assert load_published(WORKSPACE, PATH) == {"depth": 1}
    Target(f"{WORKSPACE}{PATH}").remove()
    build(Evaluate())
    assert load_published(WORKSPACE, PATH) == {"depth": 1}


def test_what_was_gone_back_from_is_not_published_again_by_a_run(caplog):
    build(Evaluate())
    build(Evaluate(depth=2))
    file().go_back(file().earlier()[-1])
    assert summary_of(Evaluate(depth=2)).published == ()
    assert "because you went back from it" in caplog.text
    assert load_published(WORKSPACE, PATH) == {"depth": 1}
    publish(Model(depth=2), PATH)
    assert load_published(WORKSPACE, PATH) == {"depth": 2}
    assert not find_publication(WORKSPACE, PATH).withdrawn
    build(Evaluate(depth=3))
    assert load_published(WORKSPACE, PATH) == {"depth": 3}, "another content is new"


def test_a_task_that_failed_is_not_published_and_one_upstream_of_it_is():
    class Broken(Model):
        publish = "broken.pkl"

        def run(self):
            raise ValueError("broken")

    class After(Evaluate):
        def requires(self):
            return [Model(), Broken()]

    summary = summary_of(After())
    assert not summary.ok
    assert published_paths(WORKSPACE) == [PATH]


def test_a_publication_that_fails_is_a_failure_of_the_run_and_leaves_the_output(monkeypatch):
    def refuse(*_):
        raise OSError("no space left")

    monkeypatch.setattr(PublishedFile, "publish", refuse)
    with pytest.raises(BuildFailed, match="1 not published") as raised:
        build(Evaluate())
    assert "no space left" in str(raised.value)
    summary = summary_of(Evaluate())
    assert (summary.ran, summary.ok, len(summary.unpublished)) == (0, False, 1)
    assert Model().complete()
    monkeypatch.undo()
    assert summary_of(Evaluate()).ok
    assert load_published(WORKSPACE, PATH) == {"depth": 1}


class Several(TaskOnKart[int]):
    publish: ClassVar = {"model": "several/model.pkl", "report": "several/report.json"}

    def output(self):
        return {key: self.make_target(f"several_{key}.{suffix}") for key, suffix in self.kinds().items()}

    @staticmethod
    def kinds():
        return {"model": "pkl", "report": "json", "rest": "txt"}

    def run(self):
        self.dump(1, "model")
        self.dump({"auc": 0.5, "more": {"f1": 1}}, "report")
        self.dump("x", "rest")


def test_several_outputs_are_published_by_their_keys():
    build(Several(), return_value=False)
    assert load_published(WORKSPACE, "several/model.pkl") == 1
    entry = find_publication(WORKSPACE, "several/report.json")
    assert entry.metrics == {"Several": {"auc": 0.5, "more": {"f1": 1}}}


def fixed(name, value):
    """Return a task class with an attribute, of another name each time."""
    return type(name, (Model,), {"publish": value, "__module__": __name__})


@pytest.mark.parametrize(
    ("task", "words"),
    [
        (fixed("Suffix", "x.zip")(), r"Suffix stores \.pkl.*ends in \.pkl"),
        (fixed("Outside", "../x.pkl")(), "stays in the workspace"),
        (fixed("Log", "log/x.pkl")(), "belongs to kart"),
        (fixed("Kind", ["x.pkl"])(), "is a list. Set it to a path, or to a dict"),
        (type("Key", (Several,), {"publish": {"modl": "x.pkl"}})(), "has no output 'modl'; its outputs are model, rep"),
        (type("One", (Several,), {"publish": "x.pkl"})(), "has several: its outputs are model, report, rest.*--key"),
        (type("Memory", (Model,), {"output": lambda self: make_in_memory_target("x.pkl")})(), "InMemoryTarget"),
        (type("None_", (Model,), {"output": lambda self: []})(), "has 0 outputs"),
        (
            type("Own", (Model,), {"output": lambda self: self.make_target(PATH, use_unique_id=False)})(),
            "is the path of the output of Own",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, luigi.Task) else "",
)
def test_a_name_that_does_not_fit_is_refused_before_anything_runs(task, words):
    with pytest.raises(PublishRefused, match=words):
        build(task)
    assert not Path(WORKSPACE).exists() or not list(Path(WORKSPACE).rglob("*_*.pkl"))


def test_a_folder_is_refused_after_the_run_and_stays():
    class Folder(Model):
        publish = "folder.pkl"

        def run(self):
            Path(self.output().path()).mkdir(parents=True)

    with pytest.raises(BuildFailed, match="the output of Folder is a folder"):
        build(Folder(), return_value=False)
    assert Path(Folder().output().url).is_dir()


def test_two_tasks_under_one_name_are_refused():
    class Both(TaskOnKart[int]):
        def requires(self):
            return [Model(depth=1), Model(depth=2)]

        def run(self):
            self.dump(1)

    with pytest.raises(PublishRefused, match=r"Model\[\w+\] and Model\[\w+\] would both be published as it"):
        build(Both())


def test_the_output_of_another_task_is_not_replaced():
    class Other(TaskOnKart[int]):
        def output(self):
            return self.make_target("x.pkl", use_unique_id=False)

        def run(self):
            self.dump(1)

    build(Other())
    with pytest.raises(PublishRefused, match="the path of the output of Other"):
        build(fixed("Clash", "x.pkl")())
    assert Target(f"{WORKSPACE}x.pkl").load() == 1


def test_a_parameter_or_method_of_the_name_is_the_users_own():
    class WithParameter(TaskOnKart[str]):
        publish = luigi.Parameter(default="yes")

        def run(self):
            self.dump(self.publish)

    class WithMethod(TaskOnKart[str]):
        def publish(self):
            return "mine"

        def run(self):
            self.dump(self.publish())

    assert build([WithParameter(), WithMethod()]) == ["yes", "mine"]
    assert published_paths(WORKSPACE) == []


def test_metrics_are_numbers():
    class Json(TaskOnKart):
        kind: luigi.Parameter = luigi.Parameter()

        def output(self):
            return self.make_target("x.json")

        def run(self):
            values = {"numbers": {"auc": 0.5, "n": 2}, "texts": {"a": "b"}, "list": [1], "empty": {}}
            self.dump(values[self.kind])

    found = {}
    for kind in ("numbers", "texts", "list", "empty"):
        build(Json(kind=kind), return_value=False)
        found[kind] = metrics_of(Json(kind=kind))
    assert found == {"numbers": {"Json": {"auc": 0.5, "n": 2}}, "texts": {}, "list": {}, "empty": {}}


def test_the_commit_of_the_code_is_known(tmp_path, monkeypatch):
    (tmp_path / "my_tasks.py").write_text(
        textwrap.dedent("""
        from kart_runtime import TaskOnKart

        class Mine(TaskOnKart[int]):
            publish = "mine.pkl"

            def run(self):
                self.dump(1)
        """)
    )
    who = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
    for words in (["init", "-q"], ["add", "my_tasks.py"], [*who, "commit", "-qm", "First"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True, capture_output=True)
    monkeypatch.syspath_prepend(str(tmp_path))
    import my_tasks

    build(my_tasks.Mine())
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert find_publication(WORKSPACE, "mine.pkl").commit == head.stdout.strip()


def test_outputs_that_gokart_would_not_keep_and_are_published_stay():
    class Table(Model):
        publish = "reports/current.json"

        def output(self):
            return self.make_target("table.json")

    build(Table())
    delete_unnecessary_outputs(Rows())
    assert not Table().complete()
    assert Path(WORKSPACE, "reports/current.json").exists()
    assert load_published(WORKSPACE, "reports/current.json") == {"depth": 1}
