"""Tasks whose labels are recorded, built on whichever gokart is given: the real one to record, ours to compare.

Record again, in an environment with gokart 1.12.2:  python gokart_labels.py > gokart_labels.json
"""

from __future__ import annotations

import datetime
import json
from types import ModuleType
from typing import Any

import luigi
from luigi.parameter import ParameterVisibility


def cases(gokart: ModuleType) -> dict[str, tuple[Any, dict[Any, Any] | None]]:
    """Return for each name a task, and the labels that its caller gives."""

    class Task(gokart.TaskOnKart):
        workspace_directory = luigi.Parameter(default="/workspace", significant=False)

        def output(self):
            return self.make_target(f"{type(self).__name__}.pkl")

    class Number(Task):
        value = luigi.IntParameter(default=1)

    class Values(Task):
        text = luigi.Parameter(default="")
        day = luigi.DateParameter(default=datetime.date(2026, 2, 1))
        many = luigi.ListParameter(default=[1, "é"])
        truth = luigi.BoolParameter(default=False)
        nothing = luigi.OptionalParameter(default=None)

    class Hidden(Task):
        shown = luigi.IntParameter(default=1)
        hidden = luigi.Parameter(default="h", visibility=ParameterVisibility.HIDDEN)
        private = luigi.Parameter(default="p", visibility=ParameterVisibility.PRIVATE)
        quiet = luigi.Parameter(default="q", significant=False)

    class Holds(Task):
        task = gokart.TaskInstanceParameter()

    class HoldsMany(Task):
        tasks = gokart.ListTaskInstanceParameter()

    class Two(Task):
        def output(self):
            return {"a": self.make_target("a.pkl"), "b": [self.make_target("b.pkl", use_unique_id=False)]}

    class Wrapper(Task):
        def output(self):
            return []

    class Requires(Task):
        form = luigi.Parameter()

        def requires(self):
            return {
                "one": Number(),
                "list": [Number(value=1), Number(value=2)],
                "tuple": (Number(value=1), (Two(),)),
                "dict": {"x": Number(), "é": Two()},
                "wrapper": Wrapper(),
                "wrappers": [Wrapper(), Wrapper()],
                "nothing": {},
            }[self.form]

    class Large(Task):
        first = luigi.Parameter(default="1")
        second = luigi.Parameter(default="2" * 4000)
        third = luigi.Parameter(default="é" * 1000)

        def requires(self):
            return [Number(value=value) for value in range(25)]

    class ManyInputs(Task):
        value = luigi.IntParameter(default=0)

        def requires(self):
            return [Number(value=value) for value in range(100)]

    return {
        "parameters": (Number(), None),
        "no parameters": (Wrapper(), None),
        "empty texts and other types": (Values(), None),
        "visibility": (Hidden(), None),
        "task": (Holds(task=Number()), None),
        "tasks": (HoldsMany(tasks=[Number(value=1), Holds(task=Two())]), None),
        **{f"requires {form}": (Requires(form=form), None) for form in _FORMS},
        "custom": (Number(), {"team": "red", 1: 2.5, "empty": "", "none": None, "1": "text"}),
        "custom before parameters": (Number(), {"value": "mine", "__required_task_outputs": "mine"}),
        "custom before inputs": (Requires(form="one"), {"__required_task_outputs": "mine"}),
        "custom empty does not hide": (Number(), {"value": ""}),
        "too large": (Large(), {"team": "red"}),
        "inputs too large": (ManyInputs(), None),
        "one too large": (Number(), {"large": "x" * 9000, "small": "s"}),
        "just fits": (Number(), {"large": "x" * (8192 - 5 - 6)}),
        "just too large": (Number(), {"large": "x" * (8192 - 5 - 5)}),
    }


_FORMS = ("one", "list", "tuple", "dict", "wrapper", "wrappers", "nothing")


def _real(task: Any, custom: dict[Any, Any] | None) -> dict[str, str]:
    """Return what the real gokart writes on the object that a task dumps."""
    from gokart.gcs_obj_metadata_client import GCSObjectMetadataClient
    from gokart.target import SingleFileTarget

    given: dict[str, Any] = {}
    SingleFileTarget._dump = lambda self, obj, **options: given.update(options)  # type: ignore[method-assign]
    task.dump("value", task.make_target("x.pkl"), custom_labels=custom)
    return dict(GCSObjectMetadataClient._get_patched_obj_metadata({}, **given))


if __name__ == "__main__":
    import gokart as real

    found = {name: list(_real(*case).items()) for name, case in cases(real).items()}
    print(json.dumps(found, indent=1, ensure_ascii=False))
