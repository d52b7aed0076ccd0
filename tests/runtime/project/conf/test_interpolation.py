"""What `${...}` stands for, and what becomes secret by it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from kart_runtime import build
from kart_runtime.errors import ConfigError, EnvVarMissing
from kart_runtime.execution.executors import ProcessExecutor
from kart_runtime.project import open_project
from kart_runtime.project.conf import interpolation
from kart_runtime.project.conf.interpolation import Interpolation
from kart_runtime.project.conf.tree import Branch, Leaf

NUMBERS = "conf/base/tasks/numbers.yaml"


def test_interpolations_are_put_in(small_project):
    small_project(
        {NUMBERS: "Numbers:\n  size: 5\nTotal:\n  weight: ${tasks.numbers.Numbers.size}\n  label: a-${run.task}\n"}
    )
    with open_project() as session:
        total = session.task("Total")()
        assert (total.weight, total.label) == (5.0, "a-RunAll")


def test_an_interpolation_sees_what_later_layers_say(small_project):
    small_project({NUMBERS: "Total:\n  label: ${run.task}\n", "conf/dev/run.yaml": "task: Total\n"})
    with open_project() as session:
        assert session.task("Total")().label == "Total"
    with open_project(overrides=["run.task=Numbers"]) as session:
        assert session.task("Total")().label == "Numbers"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("${oc.env:SMALL_TOKEN}", True),
        ("Bearer ${oc.env:SMALL_TOKEN}", True),
        ("${oc.env:SMALL_NONE,fallback}", True),
        ("${tasks.numbers.Total.label}", True),
        ("${.label}", True),
        ("${run.task}", False),
        ("plain", False),
    ],
)
def test_what_reaches_an_environment_variable_is_secret(small_project, monkeypatch, text, secret):
    monkeypatch.setenv("SMALL_TOKEN", "hunter2")
    small_project({NUMBERS: f"Total:\n  label: ${{oc.env:SMALL_TOKEN}}\n  token: {text}\n"})
    with open_project() as session:
        total = session.task("Total")()
        assert session.overrides[type(total)]["token"].secret is secret
        assert "${" not in total.token


def test_a_refused_secret_is_not_quoted(small_project, monkeypatch, refused):
    monkeypatch.setenv("SMALL_TOKEN", "hunter2")
    small_project({NUMBERS: "Total:\n  weight: ${oc.env:SMALL_TOKEN}\n"})
    (found,) = refused()
    assert "hunter2" not in found
    assert "the value of ${oc.env:SMALL_TOKEN} is invalid for this FloatParameter" in found


def test_an_environment_variable_is_asked_for_by_the_tasks_that_need_it(small_project, monkeypatch):
    monkeypatch.delenv("SMALL_TOKEN", raising=False)
    small_project({NUMBERS: "Total:\n  token: ${oc.env:SMALL_TOKEN}\n"})
    message = f"{NUMBERS}:2: tasks.numbers.Total.token: environment variable SMALL_TOKEN is not set"
    with open_project() as session:
        assert [message in str(error) for error in session.unset] == [True]
        assert build(session.task("Numbers")()) == [0, 1, 2]
        assert session.task("Total")(token="given in Python").token == "given in Python"
        for use in (session.task("Total"), lambda: build(session.task("RunAll")()), pickled_and_made):
            with pytest.raises(EnvVarMissing) as caught:
                use(*[session.task("Total")] * (use is pickled_and_made))
            assert message in str(caught.value)


def pickled_and_made(cls):
    with ProcessExecutor(1) as executor:
        return executor.submit(cls).result()


def test_a_missing_environment_variable_of_a_setting_is_named(small_project, monkeypatch, refused):
    monkeypatch.delenv("SMALL_TOKEN", raising=False)
    small_project({"conf/base/run.yaml": "workspace: ${oc.env:SMALL_TOKEN}\n"})
    (found,) = refused()
    assert "conf/base/run.yaml:1: run.workspace: environment variable SMALL_TOKEN is not set" in found


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("label: costs ${5", "cannot be resolved: "),
        ("label: ${run.tsk}", "cannot be resolved: Interpolation key 'run.tsk' not found"),
        ("label: ${nothing:1}", "cannot be resolved: Unsupported interpolation type nothing"),
    ],
)
def test_only_the_line_at_fault_is_named(small_project, refused, line, message):
    small_project(
        {
            NUMBERS: f"Numbers:\n  size: ${{run.seed}}\nTotal:\n  {line}\n  token: ${{.label}}\n",
            "conf/base/run.yaml": "task: RunAll\nseed: 5\n",
        }
    )
    (found,) = refused()
    assert found.startswith(f"{NUMBERS}:4: tasks.numbers.Total.label: ")
    assert message in found
    assert "write \\${ for a literal ${" in found


def test_a_literal_dollar_is_written_with_a_backslash(small_project):
    small_project({NUMBERS: "Total:\n  label: 'a \\${b} ${run.task}'\n"})
    with open_project(overrides=["Total.token=x\\${y}"]) as session:
        total = session.task("Total")()
    assert (total.label, total.token) == ("a ${b} RunAll", "x${y}")


@pytest.mark.parametrize(("text", "size"), [("7", 7), ("0x10", 16), (" 8 ", 8)])
def test_a_number_may_come_from_the_environment(small_project, monkeypatch, text, size):
    monkeypatch.setenv("SMALL_SIZE", text)
    small_project(
        {
            NUMBERS: "Numbers:\n  size: ${oc.env:SMALL_SIZE}\nTotal:\n  label: ${oc.env:SMALL_SIZE}\n",
            "conf/base/run.yaml": "seed: ${oc.env:SMALL_SIZE}\n",
        }
    )
    with open_project() as session:
        assert session.task("Numbers")().size == size == session.settings.run.seed
        assert session.task("Total")().label == text


def test_what_is_no_number_in_the_environment_is_explained(small_project, monkeypatch, refused):
    monkeypatch.setenv("SMALL_SIZE", "many")
    small_project({NUMBERS: "Numbers:\n  size: ${oc.env:SMALL_SIZE}\n"})
    (found,) = refused()
    assert (
        f"{NUMBERS}:2: tasks.numbers.Numbers.size: the value of ${{oc.env:SMALL_SIZE}} is invalid for this Int" in found
    )


def test_only_what_is_used_is_resolved(small_project, monkeypatch):
    monkeypatch.delenv("SMALL_TOKEN", raising=False)
    small_project(
        {NUMBERS: "Total:\n  token: ${oc.env:SMALL_TOKEN}\n", "conf/dev/tasks/numbers.yaml": "Total: {token: x}\n"}
    )
    with open_project() as session:
        assert session.task("Total")().token == "x"


TEXTS = st.text(max_size=8).filter(lambda text: "${" not in text and "???" not in text)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(TEXTS, values, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(VALUES)
def test_without_an_interpolation_a_value_is_what_omegaconf_would_return(value):
    resolved = Interpolation(Branch({"key": Leaf(value, "x")})).value(("key",), value, origin="x")
    expected = OmegaConf.to_container(OmegaConf.create({"key": value}), resolve=True, throw_on_missing=True)["key"]
    assert (resolved, repr(resolved)) == (expected, repr(expected))


def doubling(levels, reference="${b%d}"):
    texts = {f"b{n}": reference % (n - 1) * 2 for n in range(1, levels)}
    return {"b0": "x", **texts}


@pytest.mark.parametrize("reference", ["${b%d}", "${oc.select:b%d}"])
def test_references_that_double_with_each_line_are_bounded(reference):
    texts = doubling(40, reference)
    tree = Branch({name: Leaf(text, "conf/base/run.yaml:3") for name, text in texts.items()})
    began = time.perf_counter()

    with pytest.raises(ConfigError, match=r"conf/base/run\.yaml:3: b\d+: .*stands for more than 200 references"):
        Interpolation(tree).value(("b39",), texts["b39"], origin="conf/base/run.yaml:3")

    assert time.perf_counter() - began < 10


def test_some_doubling_is_fine():
    texts = doubling(5)
    tree = Branch({name: Leaf(text, "x") for name, text in texts.items()})
    assert Interpolation(tree).value(("b4",), texts["b4"], origin="x") == "x" * 16


def test_references_that_only_resolving_shows_are_bounded(monkeypatch):
    monkeypatch.setattr(interpolation, "_MAX_REFERENCES", 50)
    names = {f"k{n}": f"b{n}" for n in range(20)}
    texts = {"b0": "x", **{f"b{n}": f"${{m.${{k{n - 1}}}}}" * 2 for n in range(1, 20)}}
    leaves = Branch({name: Leaf(text, "x") for name, text in texts.items()})
    tree = Branch({**{name: Leaf(text, "x") for name, text in names.items()}, "m": leaves})
    with pytest.raises(ConfigError, match="stands for more than 50 references"):
        Interpolation(tree).value(("m", "b19"), texts["b19"], origin="x")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("${oc.env:NO," * 100 + "x" + "}" * 100, "nested more than 20 levels"),
        ("${" * 2000 + "a" + "}" * 2000, "more than 200 references"),
        ("${a}" * 20_000, "more than 200 references"),
    ],
    ids=("nested", "unfinished", "many"),
)
def test_a_text_that_the_parser_would_not_come_to_the_end_of_is_refused(text, why):
    tree = Branch({"b": Leaf(text, "conf/base/run.yaml:3")})
    began = time.perf_counter()

    with pytest.raises(ConfigError, match=rf"conf/base/run\.yaml:3: b: .*{why}"):
        Interpolation(tree).value(("b",), text, origin="conf/base/run.yaml:3")

    assert time.perf_counter() - began < 10


@pytest.mark.parametrize("length", [100, 2000])
def test_a_long_chain_of_references_is_refused_at_once(length):
    texts = {"a0": "x", **{f"a{n}": f"${{a{n - 1}}}+" for n in range(1, length)}}
    tree = Branch({name: Leaf(text, "conf/base/run.yaml:3") for name, text in texts.items()})
    began = time.perf_counter()
    values = Interpolation(tree)
    refused = 0
    for name, text in reversed(texts.items()):
        try:
            values.value((name,), text, origin="conf/base/run.yaml:3")
        except ConfigError as error:
            refused += 1
            assert "leads through more than 30 references" in str(error)  # noqa: PT017 - of most of them
    assert refused == length - 31
    assert time.perf_counter() - began < 30


def test_references_in_references_are_fine():
    text = "${oc.env:KART_NO_SUCH," * 15 + "x" + "}" * 15
    assert Interpolation(Branch({"b": Leaf(text, "x")})).value(("b",), text, origin="x") == "x"
