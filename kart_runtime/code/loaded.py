"""Definitions of modules that are in no file: notebooks, the interactive prompt, and what `exec` has run.

Functions and classes are looked up in the source that Python keeps of them (`linecache`), else by their compiled code;
a constant counts by its value.
"""

from __future__ import annotations

import linecache
import sys
from collections.abc import Iterator, Mapping, Sequence
from types import CodeType, FunctionType, ModuleType
from typing import Any, Self

from kart_runtime.code.modules import EMPTY, Module, tree_of_text
from kart_runtime.code.scan import IMPORT, Chain, Import
from kart_runtime.code.syntax import ClassHeader, Unit, hash_of

_PLAIN = (str, bytes, int, float, complex, bool, type(None), type(...))


class LoadedModule(Module):
    """Module whose definitions are looked up in its variables."""

    def __init__(self, name: str, variables: Mapping[str, Any]) -> None:
        super().__init__(name, name, name.rpartition(".")[0], EMPTY)
        self.variables = variables
        self._known: dict[str, Sequence[tuple[int, Unit]]] = {}

    @classmethod
    def of(cls, kind: type) -> Self | None:
        """Return the module of a class, or None if it has no variables."""
        variables = getattr(sys.modules.get(kind.__module__), "__dict__", None)
        for function in functions_of(kind):
            if function.__module__ == kind.__module__:
                variables = function.__globals__
        return None if variables is None else cls(kind.__module__, variables)

    def bound(self, name: str) -> Sequence[tuple[int, Unit]]:
        """Return the unit of the object that has a name."""
        if name not in self._known:
            self._known[name] = ((0, self._unit(name, self.variables[name])),) if name in self.variables else ()
        return self._known[name]

    def _unit(self, name: str, value: Any) -> Unit:
        if isinstance(value, ModuleType):
            return _import(name, (0, value.__name__, ""))
        plain = _unwrapped(value)
        if isinstance(plain, type | FunctionType):
            if plain.__module__ != self.name:
                return _import(name, (0, plain.__module__, plain.__qualname__.partition(".")[0]))
            return self.definition(name, plain)
        kind = type(value)
        used: frozenset[Chain] = frozenset({(IMPORT, "0", kind.__module__, kind.__qualname__)})
        return _bare(name, value_text(value), uses=used if kind.__module__ != "builtins" else frozenset())

    def definition(self, name: str, value: Any) -> Unit:
        """Return the unit of a function or class: by its source, else by its compiled code."""
        for source in self._sources(value):
            units = [unit for unit in tree_of_text(source).units if name in unit.binds and not unit.is_import]
            if units:
                return units[-1]
        return unit_of_class(value) if isinstance(value, type) else unit_of_function(name, value)

    def _sources(self, value: Any) -> Iterator[str]:
        for function in functions_of(value):
            yield source_of(function.__code__.co_filename)
        if isinstance(value, type):
            yield from reversed([cell for cell in self.variables.get("In", ()) if isinstance(cell, str)])


def class_unit(module: Module, cls: type) -> list[tuple[Unit, str]]:
    """Return the units of a class, each with the function around it whose variables it uses, if any."""
    name = cls.__qualname__
    trees = [module.tree]
    if isinstance(module, LoadedModule):
        trees = [tree_of_text(source_of(function.__code__.co_filename)) for function in functions_of(cls)]
    for tree in trees:
        local = tree.local_classes.get(name)
        if local is not None:
            return [(local.unit, local.function if local.needs_function else "")]
    found = [unit for _, unit in module.bound(name) if unit.header is not None]
    if isinstance(module, LoadedModule) and module.variables.get(name) is not cls:
        found = [module.definition(name, cls)]
    return [(unit, "") for unit in found or [unit_of_class(cls)]]


def source_of(filename: str) -> str:
    """Return the source that compiled code comes from, or an empty text."""
    entry: Any = linecache.cache.get(filename)
    return "".join(entry[2]) if entry is not None and len(entry) > 2 else "".join(linecache.getlines(filename))


def functions_of(value: Any) -> Iterator[FunctionType]:
    """Return the functions in a class, or a function."""
    for member in list(vars(value).values()) if isinstance(value, type) else [value]:
        for inner in (member, getattr(member, "fget", None), getattr(member, "func", None)):
            plain = _unwrapped(inner)
            if isinstance(plain, FunctionType):
                yield plain


def _unwrapped(value: Any) -> Any:
    for _ in range(100):
        if isinstance(value, type | ModuleType):
            return value
        attributes = getattr(value, "__dict__", {})
        inner = attributes.get("__wrapped__") if isinstance(attributes, Mapping) else None
        inner = value.__func__ if isinstance(value, staticmethod | classmethod) else inner
        if inner is None:
            return value
        value = inner
    return value


def unit_of_function(name: str, function: FunctionType) -> Unit:
    """Return the unit of a function by its compiled code."""
    codes = list(_codes(function.__code__))
    names = frozenset(name for code in codes for name in code.co_names)
    defaults = value_text((function.__defaults__, function.__kwdefaults__))
    text = " ".join([defaults, *map(_code_text, codes)])
    return _bare(name, text, uses=frozenset((name,) for name in names), attributes=names)


def unit_of_class(cls: type) -> Unit:
    """Return the unit of a class by the compiled code of its methods and the values of its attributes."""
    members = []
    for name, value in vars(cls).items():
        plain = _unwrapped(getattr(value, "fget", None) or value)
        if isinstance(plain, FunctionType):
            on_demand = not (name.startswith("__") and name.endswith("__"))
            members.append(unit_of_function(name, plain)._replace(on_demand=on_demand))
        elif isinstance(value, _PLAIN) and not name.startswith("_"):
            members.append(_bare(name, value_text(value)))
    bases = tuple((IMPORT, "0", base.__module__, base.__qualname__) for base in cls.__bases__)
    header = ClassHeader(bases, False, tuple(members), {}, "", _bare("", ""))
    return _bare(cls.__name__, cls.__name__, uses=frozenset(bases))._replace(header=header)


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _code_text(code: CodeType) -> str:
    constants = [value_text(constant) for constant in code.co_consts if not isinstance(constant, CodeType)]
    if constants and code.co_name != "<lambda>" and isinstance(code.co_consts[0], str | None):
        del constants[0]  # the docstring
    return f"{code.co_code.hex()} {constants} {code.co_names} {code.co_varnames} {code.co_freevars}"


def value_text(value: Any, depth: int = 0) -> str:
    """Return a text that differs where two plain values differ; of other objects only the class."""
    kind = type(value)
    if kind in _PLAIN:
        return repr(value)
    if depth < 20 and kind in (tuple, list):
        return f"{kind.__name__}({','.join(value_text(item, depth + 1) for item in value)})"
    if depth < 20 and kind in (set, frozenset):
        return f"{kind.__name__}({','.join(sorted(value_text(item, depth + 1) for item in value))})"
    if depth < 20 and kind is dict:
        items = (f"{value_text(key, depth + 1)}:{value_text(item, depth + 1)}" for key, item in value.items())
        return f"dict({','.join(items)})"
    return f"{kind.__module__}.{kind.__qualname__}"


def _import(name: str, target: Import) -> Unit:
    return _bare(name, "")._replace(imports={name: target}, is_import=True)


def _bare(name: str, text: str, uses: frozenset[Chain] = frozenset(), attributes: frozenset[str] = frozenset()) -> Unit:
    nothing: frozenset[Any] = frozenset()
    return Unit(
        name=name,
        hash=hash_of(text),
        binds=frozenset({name}),
        imports={},
        uses=uses,
        early=nothing,
        attributes=attributes,
        own_attributes=attributes,
        texts=nothing,
        changes=nothing,
        late_changes=nothing,
        flags=nothing,
    )
