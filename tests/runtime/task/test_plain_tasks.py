"""ExternalTask and WrapperTask: configured and typed like any task, and luigi's own classes still work."""

from __future__ import annotations

import json
from pathlib import Path

import luigi
import pytest

from kart_runtime import BuildFailed, ExternalTask, TaskOnKart, WrapperTask, build
from kart_runtime.task.parameters import Override, overriding


class Vocabulary(ExternalTask[list[str]]):
    language: luigi.Parameter[str] = luigi.Parameter(default="en")

    def output(self):
        return self.make_target(f"vocabulary/{self.language}.json", use_unique_id=False)


class Size(TaskOnKart[int]):
    def requires(self):
        return Vocabulary()

    def run(self):
        self.dump(len(self.load(Vocabulary())))


class Sizes(WrapperTask):
    def requires(self):
        return [Size()]


def provide(language="en", words=("a", "b")):
    path = Path(f"resources/vocabulary/{language}.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(words))


@pytest.mark.parametrize(
    "options", [{}, {"executor": "threads", "workers": 2}, {"executor": "processes", "workers": 2}]
)
def test_the_output_of_an_external_task_is_loaded(options):
    provide()
    assert build(Size(), **options) == 2


def test_a_missing_external_output_is_named_with_similar_ones():
    provide("en_us")
    with pytest.raises(BuildFailed) as raised:
        build(Size())
    text = str(raised.value)
    assert "external input not found: Vocabulary[" in text
    assert "vocabulary/en.json does not exist. Similar names there: en_us.json." in text


def test_configuration_reaches_them():
    provide("de", ["x"])
    with overriding({Vocabulary: {"language": Override("de", "test")}}):
        assert build(Size()) == 1
    assert isinstance(Vocabulary(), luigi.ExternalTask)
    assert isinstance(Sizes(), luigi.WrapperTask)


def test_a_wrapper_is_complete_when_its_requirements_are():
    provide()
    assert not Sizes().complete()
    events = []
    build(Sizes(), on_event=events.append)
    assert events[-1].summary.ok
    assert Sizes().complete()
    build(Sizes(), on_event=events.append)
    assert events[-1].summary.ran == 0
    Path(Size().output().path()).unlink()
    assert not Sizes().complete()
    assert build(Size()) == 2


def test_lugis_own_classes_still_work():
    class Words(TaskOnKart[list], luigi.ExternalTask):
        def output(self):
            return self.make_target("vocabulary/en.json", use_unique_id=False)

    class All(luigi.WrapperTask):
        def requires(self):
            return [Words(), Size()]

    provide()
    build(All())
    assert All().complete()
