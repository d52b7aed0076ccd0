"""mypy plugin for gokart's way to annotate parameters, for ``plugins = kart_runtime.gokart.mypy``.

luigi describes its parameters to type checkers itself, so ``n: luigi.IntParameter = luigi.IntParameter()`` needs no
plugin. gokart's older way, ``n: int = luigi.IntParameter()``, is a type error; this plugin lets mypy accept it, and
nothing else. Only mypy imports this module. The section ``[tool.gokart-mypy]`` is not read: a
missing argument is never an error, because the configuration may hold its value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from mypy.checker import TypeChecker
from mypy.maptype import map_instance_to_supertype
from mypy.nodes import TypeInfo
from mypy.plugin import FunctionContext, Plugin
from mypy.subtypes import is_subtype
from mypy.types import AnyType, Instance, Type, TypeOfAny, get_proper_type

PARAMETER = "luigi.parameter.Parameter"
_CERTAIN = {"builtins.int", "builtins.float", "builtins.bool"}
"""Value types of parameter classes that mypy can rely on; luigi.Parameter declares str, and may hold anything."""


class ParameterPlugin(Plugin):
    """Plugin that accepts an attribute annotated with the type of the parameter's value."""

    def get_function_hook(self, fullname: str) -> Callable[[FunctionContext], Type] | None:
        """Return `assigned` for a call of a parameter class, else None."""
        symbol = self.lookup_fully_qualified(fullname)
        is_parameter = symbol is not None and isinstance(symbol.node, TypeInfo) and symbol.node.has_base(PARAMETER)
        return assigned if is_parameter else None


def assigned(call: FunctionContext) -> Type:
    """Return the type of a call of a parameter class: Any if a value's type is annotated, else the parameter's."""
    parameter = get_proper_type(call.default_return_type)
    annotated = get_proper_type(cast(TypeChecker, call.api).type_context[-1])
    if annotated is None or not isinstance(parameter, Instance):
        return call.default_return_type
    if isinstance(annotated, Instance) and annotated.type.has_base(PARAMETER):
        return call.default_return_type
    base = next(base for base in parameter.type.mro if base.fullname == PARAMETER)
    value = get_proper_type(map_instance_to_supertype(parameter, base).args[0])
    if isinstance(value, Instance) and value.type.fullname in _CERTAIN and not is_subtype(value, annotated):
        return call.default_return_type  # mypy then reports the annotation
    return AnyType(TypeOfAny.special_form)


def plugin(version: str) -> type[Plugin]:  # noqa: ARG001 - mypy's form
    """Return the plugin class; mypy calls this."""
    return ParameterPlugin
