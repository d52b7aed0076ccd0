"""How do work and results cross to another interpreter? As pickles, in which classes without a name are numbers.

`processes` writes what it submits through a `Vocabulary`, `worker` reads it by `loads`, and back.

- What can be imported goes by name, as in plain pickle.
- A class or function of `__main__`, and any local class, is *defined* once: its code is pickled by cloudpickle, gets a
  number, and is sent to each worker before the first work that needs it; afterwards only the number is sent. A worker
  answers with the same numbers, so that a task of a notebook's class comes back as that class and not as a copy.
- Whatever else plain pickle does not take (lambdas, modules) goes through cloudpickle at its place.
"""

from __future__ import annotations

import io
import itertools
import pickle
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from types import CodeType, FunctionType
from typing import Any

from kart_runtime.errors import CannotSend, NotImportable
from kart_runtime.execution.executors.by_reference import has_name, importable

PROTOCOL = 5

_REFUSALS = (pickle.PicklingError, AttributeError, TypeError, NotImplementedError, RecursionError, ValueError)
"""What pickling raises for a value that it does not take."""

_MADE_BY_PYTHON = 1 << 9
"""The flag (Py_TPFLAGS_HEAPTYPE) of classes that are no static structs of C."""

_numbers = itertools.count(1)
_defined: dict[int, Any] = {}
"""Number to class or function, of all vocabularies of this process."""


class _ByValue(Exception):
    """Raised inside plain pickle when it meets something that has no name elsewhere, and no number either."""


def defined(number: int) -> Any:
    """Return the class or function of a number; this is what a pickle calls in place of a name.

    Parameters
    ----------
    number
        As the other side's vocabulary has given it.
    """
    found = _defined[number]
    if isinstance(found, NotImportable):
        raise found
    return found


class Vocabulary:
    """The classes and functions that both sides of a connection know by number.

    Parameters
    ----------
    defines
        Whether new ones get numbers. The program's side does that, for as long as one executor lives; a worker only
        uses what it was told.

    Attributes
    ----------
    definitions
        What a worker has to be told, in this order: the numbers and the code.
    """

    def __init__(self, defines: bool) -> None:
        self.definitions: list[tuple[tuple[int, ...], bytes]] = []
        self._defines = defines
        # By identity, because a metaclass may forbid hashing; the object is kept so that its id stays its own.
        self._decided: dict[int, tuple[int | None, Any]] = {}
        self._importable: dict[str, bool] = {}
        self._lock = threading.RLock()

    def dumps(self, value: Any, what: str) -> bytes:
        """Return a pickle that the other side can read.

        Parameters
        ----------
        value
            What to send.
        what
            What it is, for the message.

        Raises
        ------
        CannotSend
            When neither pickle nor cloudpickle takes it.
        """
        buffer = io.BytesIO()
        try:
            _Plain(buffer, self).dump(value)
        except (_ByValue, *_REFUSALS):
            return self._by_value(value, what)
        return buffer.getvalue()

    def takes(self, value: Any) -> bool:
        """Return whether `dumps` takes a value.

        Parameters
        ----------
        value
            What may be sent.
        """
        try:
            self.dumps(value, "a value")
        except CannotSend:
            return False
        return True

    def number_of(self, obj: type | FunctionType) -> int | None:
        """Return the number of what has no name; None when it goes by name.

        Parameters
        ----------
        obj
            A class or function.
        """
        decided = self._decided.get(id(obj))
        if decided is not None:
            return decided[0]
        if self.goes_by_name(obj):
            self._decided[id(obj)] = None, obj
            return None
        if not self._defines or not _worth_defining(obj):
            raise _ByValue
        with self._lock:
            return self._define(obj)

    def goes_by_name(self, obj: type | FunctionType) -> bool:
        """Return whether the other side can import a class or function.

        Parameters
        ----------
        obj
            A class or function.
        """
        module = obj.__module__
        if not isinstance(module, str) or module == "__main__" or not has_name(obj):
            # A type of C has no code that could be sent; some have another name than they say, and pickle knows it.
            return isinstance(obj, type) and not obj.__flags__ & _MADE_BY_PYTHON
        return self.imports(module)

    def imports(self, module: str) -> bool:
        """Return whether the other side can import a module.

        Parameters
        ----------
        module
            Its full name.
        """
        if module not in self._importable:
            self._importable[module] = module != "__main__" and importable(module) and module not in _registered()
        return self._importable[module]

    def learn(self, numbers: tuple[int, ...], code: bytes) -> None:
        """Take in a definition of the other side; what cannot be loaded raises when it is used.

        Parameters
        ----------
        numbers, code
            An element of the other side's `definitions`.
        """
        try:
            found = loads(code)
        except NotImportable as error:
            found = dict.fromkeys(numbers, error)
        _defined.update(found)
        self._decided.update((id(obj), (number, obj)) for number, obj in found.items())

    def forget(self) -> None:
        """Give all numbers up."""
        for number, _ in self._decided.values():
            if number is not None:
                _defined.pop(number, None)
        self._decided.clear()
        self.definitions.clear()

    def _define(self, obj: Any) -> int:
        """Give a class or function a number, and with it all those in its code that have no name either.

        They may refer to one another in circles, so they are pickled as one.
        """
        if id(obj) in self._decided:  # by another thread, or as a part of another definition
            return self._decided[id(obj)][0] or 0
        group = {next(_numbers): obj}
        while True:
            met: dict[int, Any] = {}
            code = self._by_value(group, f"the definition of {obj.__qualname__}", met)
            for known in group.values():
                met.pop(id(known), None)
            if not met:
                break
            group.update({next(_numbers): other for other in met.values()})
        _defined.update(group)
        self.definitions.append((tuple(group), code))
        self._decided.update((id(one), (number, one)) for number, one in group.items())
        return self._decided[id(obj)][0] or 0

    def _by_value(self, value: Any, what: str, met: dict[int, Any] | None = None) -> bytes:
        buffer = io.BytesIO()
        try:
            with _modules_by_value() as whole_module:
                _cloud_pickler()(buffer, self, whole_module, met).dump(value)
        except _REFUSALS as error:
            raise _refusal(value, what, error) from error
        return buffer.getvalue()

    def shared_number(self, obj: Any, met: dict[int, Any] | None) -> int | None:
        """Return the number by which cloudpickle refers to something; None when it writes it its own way.

        Parameters
        ----------
        obj
            A class or function.
        met
            Inside a definition: collects what needs a number, too.
        """
        decided = self._decided.get(id(obj))
        if decided is not None:
            return decided[0]
        if met is not None:
            if _worth_defining(obj) and not self.goes_by_name(obj):
                met[id(obj)] = obj
            return None
        try:
            return self.number_of(obj)
        except _ByValue:
            return None


def loads(data: bytes) -> Any:
    """Return what `dumps` of the other side was given.

    Parameters
    ----------
    data
        The pickle.

    Raises
    ------
    NotImportable
        When a module of it cannot be imported here, or does not have the name.
    """
    try:
        return _Unpickler(io.BytesIO(data)).load()
    except NotImportable:
        raise
    except ImportError as error:  # by cloudpickle, which imports the modules that a function uses
        raise NotImportable(f"module '{error.name}'", str(error)) from error


class _Plain(pickle.Pickler):
    def __init__(self, file: io.BytesIO, vocabulary: Vocabulary) -> None:
        super().__init__(file, PROTOCOL)
        self._number_of = vocabulary.number_of

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, type | FunctionType):
            number = self._number_of(obj)
            if number is not None:
                return defined, (number,)
        return NotImplemented


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return super().find_class(module, name)
        except Exception as error:  # whatever the module's code raises
            what = f"module '{module}'" if module not in sys.modules else f"'{name}' from module '{module}'"
            raise NotImportable(what, f"{type(error).__name__}: {error}") from error


def _refusal(value: Any, what: str, error: Exception) -> CannotSend:
    # "cannot pickle '_thread.lock' object" tells the type inside the value that is in the way.
    inside = re.search(r"'([\w.]+)' object", str(error))
    return CannotSend(what, inside[1] if inside else type(value).__qualname__, f"{type(error).__name__}: {error}")


def _worth_defining(obj: Any) -> bool:
    # A local function is sent at its place: a loop may make any number of them.
    return isinstance(obj, type) or (isinstance(obj, FunctionType) and has_name(obj))


@cache
def _cloud_pickler() -> Callable[..., Any]:
    """Return cloudpickle's pickler with our numbers; only what needs it loads cloudpickle."""
    import cloudpickle

    class Cloud(cloudpickle.Pickler):  # type: ignore[misc]
        def __init__(
            self,
            file: io.BytesIO,
            vocabulary: Vocabulary,
            whole_module: Callable[[str], None],
            met: dict[int, Any] | None,
        ) -> None:
            super().__init__(file, PROTOCOL)
            self._vocabulary, self._whole_module, self._met = vocabulary, whole_module, met

        def reducer_override(self, obj: Any) -> Any:
            if isinstance(obj, CodeType):
                # cloudpickle leaves the name of the file out, which tracebacks need.
                return _code, (self.dispatch_table[CodeType](obj)[1], obj.co_filename)
            if isinstance(obj, type | FunctionType):
                number = self._vocabulary.shared_number(obj, self._met)
                if number is not None:
                    return defined, (number,)
                if not self._vocabulary.goes_by_name(obj) and not self._vocabulary.imports(str(obj.__module__)):
                    self._whole_module(obj.__module__)
            return super().reducer_override(obj)

    return Cloud


def _code(arguments: tuple[Any, ...], file: str) -> CodeType:
    return CodeType(*arguments).replace(co_filename=file)


_registering = threading.RLock()


@contextmanager
def _modules_by_value() -> Iterator[Callable[[str], None]]:
    """Let cloudpickle write by value, inside the block, modules that it takes for importable as they are loaded."""
    import cloudpickle

    added: list[Any] = []

    def add(name: str) -> None:
        module = sys.modules.get(name)
        if module is not None and name != "__main__" and name not in _registered():
            cloudpickle.register_pickle_by_value(module)
            added.append(module)

    with _registering:
        try:
            yield add
        finally:
            for module in added:
                cloudpickle.unregister_pickle_by_value(module)


def _registered() -> set[str]:
    """Return the modules that somebody has told cloudpickle to write by value."""
    loaded: Any = sys.modules.get("cloudpickle.cloudpickle")
    return loaded.list_registry_pickle_by_value() if loaded is not None else set()
