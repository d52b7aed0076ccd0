"""What does a project's ``plugins = kart_runtime.gokart.mypy`` load? A plugin for gokart's way to annotate parameters.

luigi describes its parameters to type checkers itself, so ``n: luigi.IntParameter = luigi.IntParameter()`` needs no
plugin. gokart's older way, ``n: int = luigi.IntParameter()``, is no correct Python for a type checker; this plugin lets
mypy accept it, and nothing else. Only mypy imports this module. The section ``[tool.gokart-mypy]`` is not read: a
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
"""The types of value that a parameter class is sure to give; luigi.Parameter says str, and may hold anything."""


class ParameterPlugin(Plugin):
    """Accepts an attribute that is annotated with the type of the parameter's value."""

    def get_function_hook(self, fullname: str) -> Callable[[FunctionContext], Type] | None:
        """Return what decides the type of a call: `assigned` for the class of a parameter, else nothing.

        Parameters
        ----------
        fullname
            The function or class that is called.
        """
        found = self.lookup_fully_qualified(fullname)
        is_parameter = found is not None and isinstance(found.node, TypeInfo) and found.node.has_base(PARAMETER)
        return assigned if is_parameter else None


def assigned(call: FunctionContext) -> Type:
    """Return the type of a call of a parameter's class: any where a value's type is annotated, else the parameter's.

    Parameters
    ----------
    call
        The call.
    """
    made = get_proper_type(call.default_return_type)
    annotated = get_proper_type(cast(TypeChecker, call.api).type_context[-1])
    if annotated is None or not isinstance(made, Instance):
        return call.default_return_type
    if isinstance(annotated, Instance) and annotated.type.has_base(PARAMETER):
        return call.default_return_type
    base = next(one for one in made.type.mro if one.fullname == PARAMETER)
    value = get_proper_type(map_instance_to_supertype(made, base).args[0])
    if isinstance(value, Instance) and value.type.fullname in _CERTAIN and not is_subtype(value, annotated):
        return call.default_return_type  # mypy then says that the annotation is wrong
    return AnyType(TypeOfAny.special_form)


def plugin(version: str) -> type[Plugin]:  # noqa: ARG001 - mypy's form
    """Return the plugin; mypy calls this.

    Parameters
    ----------
    version
        mypy's version.
    """
    return ParameterPlugin
