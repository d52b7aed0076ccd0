"""Types of results that a new task can begin with: their formats, imports, a first value, and a check."""

from __future__ import annotations

import ast
import builtins
import re
from dataclasses import dataclass, replace
from typing import Any, get_origin

from kart_runtime.errors import ConfigError, closest_match

FORMATS = ("parquet", "json", "csv", "pkl", "png")

_FRAMES = ("parquet", "csv", "json", "pkl")


@dataclass(frozen=True)
class ResultType:
    """Result of a task.

    Attributes
    ----------
    annotation
        Its type, as the class names it.
    formats
        Formats that can hold it, the default first.
    value
        Value that a task with inputs begins with, where SIZE stands for a number.
    empty
        Value that a task without inputs begins with; "" if there is none, nor a `value`.
    check
        Condition of the test, where RESULT stands for the value.
    noun
        Its name in that of the test.
    imports, test_imports
        Module and name of what the class and the test import.
    suffix
        Suffix of the file; "" for the default.
    """

    annotation: str
    formats: tuple[str, ...]
    value: str
    empty: str
    check: str
    noun: str
    imports: tuple[tuple[str, str], ...] = ()
    test_imports: tuple[tuple[str, str], ...] = ()
    suffix: str = ""


_PANDAS, _POLARS = ("pandas as pd", ""), ("polars as pl", "")
_ANY = ("typing", "Any")

_TYPES = {
    "pd.DataFrame": ResultType(
        "pd.DataFrame",
        _FRAMES,
        'pd.DataFrame({"size": [SIZE]})',
        "pd.DataFrame()",
        "isinstance(RESULT, pd.DataFrame)",
        "a_frame",
        (_PANDAS,),
        (_PANDAS,),
    ),
    "pl.DataFrame": ResultType(
        "pl.DataFrame",
        _FRAMES,
        'pl.DataFrame({"size": [SIZE]})',
        "pl.DataFrame()",
        "isinstance(RESULT, pl.DataFrame)",
        "a_frame",
        (_POLARS,),
        (_POLARS,),
    ),
    "dict": ResultType("", ("json", "pkl"), "", "{}", "isinstance(RESULT, dict)", "a_dict"),
    "list": ResultType("", ("json", "pkl"), "", "[]", "isinstance(RESULT, list)", "a_list"),
    "str": ResultType("str", ("json", "pkl"), "str(SIZE)", '""', "isinstance(RESULT, str)", "a_text"),
    "int": ResultType("int", ("json", "pkl"), "SIZE", "0", "isinstance(RESULT, int)", "a_number"),
    "float": ResultType("float", ("json", "pkl"), "float(SIZE)", "0.0", "isinstance(RESULT, float)", "a_number"),
    "bool": ResultType("bool", ("json", "pkl"), "SIZE > 0", "False", "isinstance(RESULT, bool)", "true_or_false"),
    "bytes": ResultType("bytes", ("png", "pkl"), "bytes(SIZE)", 'b""', "isinstance(RESULT, bytes)", "an_image"),
    "Any": ResultType("Any", ("pkl", "json"), "SIZE", "0", "RESULT is not None", "a_result", (_ANY,)),
}
_ITEMS = {
    "int": "SIZE",
    "float": "float(SIZE)",
    "str": "str(SIZE)",
    "bool": "SIZE > 0",
    "Any": "SIZE",
    "object": "SIZE",
}
_DEFAULT_OF = {"parquet": "pd.DataFrame", "csv": "pd.DataFrame", "json": "dict[str, int]", "png": "bytes"}
_DEFAULT = "list[int]"
_SHORTER = {
    "pandas.core.frame.DataFrame": "pd.DataFrame",
    "polars.dataframe.frame.DataFrame": "pl.DataFrame",
    "typing.Any": "Any",
}
"""What Python writes for a type inside another one, and what people write."""
_MODULES = {"pd": "pandas as pd", "pl": "polars as pl", "np": "numpy as np", "npt": "numpy.typing as npt"}
_WHOLE = {
    "dict": "dict[str, int]",
    "list": "list[int]",
    "DataFrame": "pd.DataFrame",
    "pandas.DataFrame": "pd.DataFrame",
    "polars.DataFrame": "pl.DataFrame",
    "typing.Any": "Any",
}


def result_type(output: str | None, type_name: str | None) -> ResultType:
    """Return the result for a format and a type, of which either may be missing; raise `ConfigError` if they differ."""
    if output is not None and output not in FORMATS:
        guess = closest_match(output, FORMATS)
        raise ConfigError(
            f"unknown format {output!r}", file="--output", expected=" or ".join(FORMATS), suggestion=guess
        )
    text = type_name if type_name is not None else _DEFAULT_OF.get(output or "", _DEFAULT)
    kind = _of_type(text.strip())
    if output is not None and output not in kind.formats:
        raise ConfigError(
            f"a {output} file cannot hold {kind.annotation}",
            file="--output",
            expected=" or ".join(kind.formats),
        )
    if output is not None:  # also pkl, because run.suffix_by_type would choose another format
        return replace(kind, suffix=output)
    # Without either option a task is as the project's default has it.
    suffix = kind.formats[0] if type_name is not None else ""
    return replace(kind, suffix="" if suffix == "pkl" else suffix)


def is_known(text: str) -> bool:
    """Return whether a type has a value to begin with, so that a new task may take it over from what it needs."""
    try:
        return bool(text) and bool(_of_type(text).empty)
    except ConfigError:
        return False


def type_text(kind: Any) -> str:
    """Return a type as a class of a project names it, such as `pd.DataFrame` or `dict[str, float]`; "" for none."""
    if kind is None:
        return ""
    if isinstance(kind, type) and get_origin(kind) is None:
        module = kind.__module__.partition(".")[0]
        prefix = {"builtins": "", "pandas": "pd.", "polars": "pl.", "numpy": "np."}.get(module, f"{kind.__module__}.")
        return f"{prefix}{kind.__qualname__}"
    text = str(kind)
    for full, short in _SHORTER.items():
        text = text.replace(full, short)
    return text


def _of_type(text: str) -> ResultType:
    text = _WHOLE.get(text, text)
    if text in _TYPES and text not in ("dict", "list"):
        return _TYPES[text]
    expression = _parsed(text)
    annotation = ast.unparse(expression)
    imports = _imports(expression, annotation)
    base = expression.value if isinstance(expression, ast.Subscript) else expression
    name = base.id if isinstance(base, ast.Name) else ""
    if name in ("dict", "list") and isinstance(expression, ast.Subscript):
        return replace(_container(name, expression), annotation=annotation, imports=imports)
    array = annotation.startswith(("np.ndarray", "npt.NDArray"))
    if array and annotation == "npt.NDArray[np.float64]":
        numpy = (("numpy as np", ""),)
        return ResultType(
            annotation,
            ("pkl",),
            "np.zeros(SIZE)",
            "np.zeros(0)",
            "isinstance(RESULT, np.ndarray)",
            "an_array",
            imports,
            numpy,
        )
    return ResultType(annotation, ("pkl",), "", "", "RESULT is not None", "a_result", imports)


def _parsed(text: str) -> ast.expr:
    try:
        expression = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError):
        expression = ast.Constant(None)
    allowed = ast.Name | ast.Attribute | ast.Subscript | ast.Tuple | ast.BinOp | ast.BitOr | ast.Constant | ast.Load
    valid = all(isinstance(node, allowed) for node in ast.walk(expression))
    if not valid or not isinstance(expression, ast.Name | ast.Attribute | ast.Subscript | ast.BinOp):
        raise ConfigError(
            f"{text!r} is no type", file="--type", expected="a type, such as pd.DataFrame or 'dict[str, float]'"
        )
    return expression


def _imports(expression: ast.expr, text: str) -> tuple[tuple[str, str], ...]:
    """Return the imports of the names in a type."""
    needed: dict[tuple[str, str], None] = {}
    attributes = {id(node.value) for node in ast.walk(expression) if isinstance(node, ast.Attribute)}
    for node in ast.walk(expression):
        if isinstance(node, ast.Attribute) and id(node) not in attributes:
            root, _, _ = ast.unparse(node).partition(".")
            needed[_MODULES.get(root, ast.unparse(node).rpartition(".")[0]), ""] = None
        elif isinstance(node, ast.Name) and id(node) not in attributes and not hasattr(builtins, node.id):
            if node.id != "Any":
                raise ConfigError(
                    f"{node.id!r} in {text!r} is no built-in type; write it with its module",
                    file="--type",
                    expected="a type, such as pd.DataFrame, 'dict[str, float]' or sklearn.base.BaseEstimator",
                    suggestion="pd.DataFrame" if re.fullmatch("(?i)(data)?frame|df", node.id) else None,
                )
            needed[_ANY] = None
    return tuple(needed)


def _container(name: str, expression: ast.Subscript) -> ResultType:
    """Return the result for a dict or a list of something."""
    kind = _TYPES[name]
    items = expression.slice.elts if isinstance(expression.slice, ast.Tuple) else [expression.slice]
    item = ast.unparse(items[-1])
    if name == "dict":
        key = ast.unparse(items[0])
        if key == "str" and len(items) == 2 and item in _ITEMS:
            return replace(kind, value=f'{{"size": {_ITEMS[item]}}}')
        is_plain = key == "str" and len(items) == 2
    else:
        if item in _ITEMS:
            return replace(kind, value=f"[{_ITEMS[item]}]")
        is_plain = len(items) == 1
    # An empty one is a value of any such type.
    formats = ("json", "pkl") if is_plain and not re.search(r"\b(?:pd|pl|np|npt|bytes)\b", item) else ("pkl",)
    return replace(kind, formats=formats)
