"""Every error survives the way from another process, and is caught as what it is."""

from __future__ import annotations

import importlib
import inspect
import pickle
import pkgutil

import pytest

import kart_runtime
from kart_runtime import errors

EXAMPLES = [
    errors.KartError("plain"),
    errors.ConfigError("bad", file="conf/base/run.yaml:3", key="run.seed", expected="int", suggestion="sed"),
    errors.ConfigErrors([errors.ConfigError("one"), errors.ConfigError("two")]),
    errors.EnvVarMissing("HOME", file="a.yaml:1", key="run.seed"),
    errors.ExtraMissing("a workspace in S3 needs boto3", "s3"),
    errors.LockSettingsIncomplete("a host without a port", key="A.redis_port"),
    errors.PlanError("no order"),
    errors.CyclicDependency(["A", "B"]),
    errors.EndlessRequirements("A", "it calls itself"),
    errors.NotATask("A", "int 3"),
    errors.UnstableValue("A", "x", "<A at 0x1>"),
    errors.ParameterValueError("A", "x", "1", "Parameter takes text", "Write '1'"),
    errors.OutputClash("a.pkl", ["A", "B"]),
    errors.StoreError("no disk"),
    errors.UnknownScheme("ftp://x", ["a path"], "hint"),
    errors.WriteFailed("outputs/a.pkl", "Permission denied"),
    errors.ObjectMissing("a/b.pkl"),
    errors.ObjectCorrupt("a/b.pkl", "EOFError"),
    errors.InputReplaced("InputFile(path=a.csv)", "/data/a.csv"),
    errors.RequestFailed("s3://b/x.pkl", "read", "AccessDenied", "Allow it."),
    errors.RecordsNotStored("b/log/x.pkl", 3, "AccessDenied."),
    errors.CodecError("no"),
    errors.UnknownFormat("a.xyz", [".pkl"]),
    errors.CannotEncode("csv", "a DataFrame", "dict"),
    errors.TaskError("rule"),
    errors.NotRequired("A", "B", ["C"]),
    errors.NothingDumped("A", ["a.pkl"]),
    errors.EmptyDump("A"),
    errors.ReservedName("A", "rng", "a_rng"),
    errors.LockTimeout("A_1", 3.0, "process 7"),
    errors.LockLost("A_1", "it was not renewed for 60 s"),
    errors.ExecutorError("no process"),
    errors.WorkerDied(7, -9, "A"),
    errors.WorkersKilled(3, "tcp://a:1", "A"),
    errors.CannotSend("the result", "socket", "no"),
    errors.NotImportable("tasks", "No module named 'tasks'"),
    errors.BuildFailed({"A": ValueError("x")}, {"B": "A"}, "2 tasks", {"id": [ValueError("x")]}),
]


def tree():
    return [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, errors.KartError)]


def test_there_is_an_example_of_every_error():
    assert {type(error) for error in EXAMPLES} == set(tree())


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_survives_pickle(error):
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert again.__dict__.keys() == error.__dict__.keys()


@pytest.mark.parametrize("cls", tree(), ids=lambda cls: cls.__name__)
def test_every_error_is_drawn_in_the_tree(cls):
    assert cls.__name__ in (errors.__doc__ or "")


def descendants(cls):
    return {cls}.union(*map(descendants, cls.__subclasses__()))


def test_the_errors_of_other_modules_are_named_beside_the_tree():
    for module in pkgutil.walk_packages(kart_runtime.__path__, "kart_runtime."):
        if "__main__" not in module.name and not module.name.startswith("kart_runtime.gokart.mypy"):
            importlib.import_module(module.name)
    ours = {cls.__name__ for cls in descendants(errors.KartError) if cls.__module__.startswith("kart_runtime")}
    assert {name for name in ours if name not in (errors.__doc__ or "")} == set()


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (errors.ObjectMissing("x"), FileNotFoundError),
        (errors.WriteFailed("x", "full"), OSError),
        (errors.ConfigError("x"), ValueError),
        (errors.LockTimeout("x", 1.0), TimeoutError),
        (errors.CannotEncode("a", "b", "c"), TypeError),
        (errors.EmptyDump("x"), AssertionError),
        (errors.UnknownFormat("x", []), AssertionError),
        (errors.CannotEncode("a", "b", "c"), AssertionError),
        (errors.NotRequired("a", "b", []), AssertionError),
        (errors.LockSettingsIncomplete("x"), AssertionError),
    ],
)
def test_errors_are_caught_as_the_fitting_builtin(error, builtin):
    assert isinstance(error, builtin)


def test_a_config_error_says_where_what_and_what_was_meant():
    text = str(EXAMPLES[1])
    assert text == "conf/base/run.yaml:3: run.seed: bad (expected int). Did you mean 'sed'?"


def test_a_failed_build_lists_causes_and_what_was_not_started():
    text = str(EXAMPLES[-1])
    assert "A: ValueError: x" in text
    assert "B was not run, because upstream A did not complete" in text


def test_a_failed_build_with_very_many_tasks_stays_readable():
    error = errors.BuildFailed({"A": ValueError("x")}, {f"B{i}": "A" for i in range(5000)})
    assert "and 4980 more" in str(error)
    assert len(error.not_started) == 5000


def test_tasks_that_were_not_run_are_one_line():
    failure = errors.BuildFailed({"A": ValueError("x")}, {f"B[{i}]": "A" for i in range(88)} | {"C(n=1)": "A"})
    line = "89 tasks were not run, because upstream A did not complete: 88 B, C"
    assert str(failure).splitlines()[-1].strip() == line
    few = errors.BuildFailed({"A": ValueError("x"), "B": KeyError("y")}, {"C[1]": "A", "C[2]": "B"})
    assert str(few).endswith("2 tasks were not run, because 2 tasks upstream did not complete: C[1], C[2]")


def raised(kind, text):
    try:
        raise kind(text)
    except kind as error:
        return error


def test_equal_failures_are_folded():
    causes = {f"A[{i}]": raised(ValueError, "x") for i in range(3)} | {"B": raised(ValueError, "y"), "C": KeyError("z")}
    assert [line.strip() for line in str(errors.BuildFailed(causes)).splitlines()[1:]] == [
        "A[0]: ValueError: x",
        "2 more failed in the same way: A[1], A[2]",
        "B: ValueError: y",
        "C: KeyError: 'z'",
    ]


@pytest.mark.parametrize(
    ("name", "guess"), [("trainmodel", "TrainModel"), ("TrianModel", "TrainModel"), ("zzz", None), ("", None)]
)
def test_nearest(name, guess):
    assert errors.closest_match(name, ["TrainModel", "LoadData"]) == guess
