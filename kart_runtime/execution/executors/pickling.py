"""Pickles for other interpreters: importable definitions by reference, the others by value, once.

- What can be imported is pickled by reference, as in plain pickle.
- A class or function of `__main__`, of a function (a local class), or of a module that a new interpreter would not find
  is a *definition*: cloudpickle writes its code once, a `DefinitionTable` numbers it, and values refer to the number.
  The other side learns the code before the first value that needs it, and answers with the same numbers, so that a
  task of a notebook's class comes back as that class and not as a copy.
- Whatever else plain pickle refuses (lambdas, modules) is written by cloudpickle where it occurs.
"""

from __future__ import annotations

import copyreg
import io
import itertools
import pickle
import re
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from importlib.machinery import ModuleSpec
from types import CodeType, FunctionType
from typing import Any, cast

import cloudpickle

from kart_runtime.errors import CannotSend, NotImportable, described
from kart_runtime.task.metaclass import TaskMeta, register_again
from kart_runtime.task.parameters import under_no_overrides

_HEAPTYPE = 1 << 9
"""Py_TPFLAGS_HEAPTYPE: set for classes that are no static structs of C."""

_CLOUDPICKLE_REDUCERS: Mapping[type, Any] = cast("Any", cloudpickle.Pickler.dispatch_table).maps[0]

_WITH_CODE = (type, FunctionType, CodeType)

_ALWAYS_IMPORTABLE = frozenset({*sys.stdlib_module_names, __name__.partition(".")[0]}) - {"__main__"}

_numbers = itertools.count(1)
_definitions: dict[int, Any] = {}
"""Number to class or function, of all tables of this process."""

_lock = threading.RLock()
"""One for new definitions and cloudpickle's registry: each is changed while the other is."""


def lookup(number: int) -> Any:
    """Return the definition with a number; pickles call this in place of an import."""
    definition = _definitions[number]
    if isinstance(definition, NotImportable):
        raise definition
    return definition


class DefinitionTable:
    """Definitions that both sides of a connection know by number.

    With `defines`, new ones get numbers, for as long as one executor lives; the other side only learns them.
    `definitions` is what the other side has to learn, in this order: numbers, and code.
    """

    def __init__(self, defines: bool) -> None:
        self.definitions: list[tuple[tuple[int, ...], bytes]] = []
        self._defines = defines
        # By identity, because a metaclass may forbid hashing; the object is held so that its id stays its own.
        self._known: dict[int, tuple[int | None, Any]] = {}
        self._importable: dict[str, bool] = {}
        self.by_name: dict[int, Any] = {}
        """Classes and functions that plain pickle writes by name, by identity."""

    def dumps(self, value: Any, what: str) -> bytes:
        """Return a pickle that the other side can read, or raise `CannotSend`, which calls the value `what`."""
        try:
            return self._dumps(value, what)
        except CannotSend:
            if not self.by_name:
                raise
            self.by_name.clear()  # a class that went by its name may have been redefined since
            return self._dumps(value, what)

    def _dumps(self, value: Any, what: str) -> bytes:
        buffer = io.BytesIO()
        with ExitStack() as registered:
            _dump(_Pickler(buffer, self, registered), value, what)
        return buffer.getvalue()

    def takes(self, value: Any) -> bool:
        """Return whether `dumps` takes a value."""
        try:
            self.dumps(value, "a value")
        except CannotSend:
            return False
        return True

    def number_of(self, obj: type | FunctionType) -> int | None:
        """Return the number of a definition; None for what is pickled in another way."""
        known = self._known.get(id(obj))
        if known is not None:
            return known[0]
        if self.pickled_by_reference(obj):
            self._known[id(obj)] = None, obj
            return None
        return self._define(obj) if self._defines and _is_definition(obj) else None

    def pickled_by_reference(self, obj: type | FunctionType) -> bool:
        """Return whether the other side can import a class or function."""
        module = obj.__module__
        if not isinstance(module, str) or module == "__main__" or not has_name(obj):
            # A static type has no code to send; some have another name than they say, and pickle knows it.
            return isinstance(obj, type) and not obj.__flags__ & _HEAPTYPE
        return self.can_import(module)

    def can_import(self, module: str) -> bool:
        """Return whether the other side can import a module."""
        if module not in self._importable:
            by_value = module in cloudpickle.list_registry_pickle_by_value()
            self._importable[module] = not by_value and importable(module)
        return self._importable[module]

    def learn(self, numbers: Sequence[int], code: bytes) -> None:
        """Load an element of the other side's `definitions`; what cannot be loaded raises when it is used."""
        try:
            definitions = loads(code)
        except NotImportable as error:
            definitions = dict.fromkeys(numbers, error)
        for definition in definitions.values():
            if isinstance(definition, TaskMeta):
                register_again(definition)
        self._add(definitions)

    def forget(self) -> None:
        """Give up all numbers."""
        for number, _ in self._known.values():
            _definitions.pop(number or 0, None)
        self._known.clear()
        self.by_name.clear()
        self.definitions.clear()

    def _define(self, obj: Any) -> int | None:
        """Number a definition, and with it those that its code refers to: they may do so in circles."""
        with _lock:
            if id(obj) not in self._known:  # else another thread was faster
                group: dict[int, Any] = {}
                code = io.BytesIO()
                with ExitStack() as registered:
                    pickler = _Pickler(code, self, registered, group)
                    # Twice into one memo: the first writes the code and fills the group, the second only refers to it.
                    for value in (obj, group):
                        _dump(pickler, value, f"the definition of {obj.__qualname__}")
                self.definitions.append((tuple(group), code.getvalue()))
                self._add(group)
            return self._known[id(obj)][0]

    def _add(self, definitions: dict[int, Any]) -> None:
        _definitions.update(definitions)
        self._known.update((id(definition), (number, definition)) for number, definition in definitions.items())


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """cloudpickle's pickler with numbers; for a definition, `group` collects the others that its code refers to."""

    def __init__(
        self, file: io.BytesIO, table: DefinitionTable, registered: ExitStack, group: dict[int, Any] | None = None
    ) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        # As a dict: cloudpickle's ChainMap takes a microsecond for each object that is in neither of its maps.
        self.dispatch_table = {**copyreg.dispatch_table, **_CLOUDPICKLE_REDUCERS}
        self._table, self._registered, self._group = table, registered, group

    def reducer_override(self, obj: Any) -> Any:
        if not isinstance(obj, _WITH_CODE):  # first, since it is called for every object
            return NotImplemented
        if id(obj) in self._table.by_name:  # before cloudpickle looks for the name again
            return NotImplemented
        if isinstance(obj, CodeType):
            # cloudpickle leaves out the name of the file, which tracebacks need.
            return _make_code, (self.dispatch_table[CodeType](obj)[1], obj.co_filename)
        number = self._number_of(obj)
        if number is not None:
            return lookup, (number,)
        if not self._table.pickled_by_reference(obj):
            self._registered.enter_context(_ByValue(str(obj.__module__)))
        elif has_name(obj):
            self._table.by_name[id(obj)] = obj
        return super().reducer_override(obj)

    def _number_of(self, obj: type | FunctionType) -> int | None:
        if self._group is None or id(obj) in self._table._known or not _is_definition(obj):
            return self._table.number_of(obj)
        if not self._table.pickled_by_reference(obj):
            self._group[next(_numbers)] = obj
        return None


class _ByValue:
    """Registration of a module with cloudpickle, which takes every loaded module for importable, for one pickle."""

    def __init__(self, name: str) -> None:
        self._module = sys.modules.get(name) if name != "__main__" else None

    def __enter__(self) -> None:
        _lock.acquire()
        if self._module is not None and self._module.__name__ in cloudpickle.list_registry_pickle_by_value():
            self._module = None
        if self._module is not None:
            cloudpickle.register_pickle_by_value(self._module)

    def __exit__(self, *_error: object) -> None:
        if self._module is not None:
            cloudpickle.unregister_pickle_by_value(self._module)
        _lock.release()


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            if module in sys.modules:
                return super().find_class(module, name)
            with under_no_overrides():  # as in the program, which has imported it before there was a configuration
                return super().find_class(module, name)
        except Exception as error:  # whatever the module's code raises
            what = f"module '{module}'" if module not in sys.modules else f"'{name}' from module '{module}'"
            raise NotImportable(what, f"{type(error).__name__}: {error}") from error


def loads(data: bytes) -> Any:
    """Return what the other side has dumped, or raise `NotImportable`. Of several pickles in a row: the last."""
    file = io.BytesIO(data)
    unpickler = _Unpickler(file)
    try:
        value = unpickler.load()
        while file.tell() < len(data):
            value = unpickler.load()
    except ImportError as error:
        if isinstance(error, NotImportable):
            raise
        # by cloudpickle, which imports the modules that a function uses
        raise NotImportable(f"module '{error.name}'", str(error)) from error
    return value


def has_name(obj: type | FunctionType) -> bool:
    """Return whether a class or function is what its module has under its name."""
    value: Any = sys.modules.get(obj.__module__ or "")
    for name in obj.__qualname__.split("."):
        value = getattr(value, name, None)
    return value is obj


def importable(name: str) -> bool:
    """Return whether a new interpreter with this search path would import the module that is loaded under a name."""
    top = name.partition(".")[0]
    if top in _ALWAYS_IMPORTABLE:
        return True
    module = sys.modules.get(name)
    if module is None or name == "__main__":
        return False
    file = getattr(module, "__file__", None)
    if file is None and top != name:
        # A package may make submodules while it is imported (six.moves); importing it makes them again.
        return importable(top)
    spec = _search(name)
    return spec is not None and (file is None or spec.origin == getattr(module.__spec__, "origin", file))


def _search(name: str) -> ModuleSpec | None:
    """Find a module as `import` does in a process that has not loaded it, or its packages, yet."""
    spec, path, prefix = None, None, ""
    for part in name.split("."):
        prefix = f"{prefix}.{part}" if prefix else part
        spec = next(filter(None, (_find_spec(finder, prefix, path) for finder in sys.meta_path)), None)
        if spec is None:
            return None
        path = spec.submodule_search_locations
    return spec


def _find_spec(finder: Any, name: str, path: Sequence[str] | None) -> ModuleSpec | None:
    try:
        spec: ModuleSpec | None = finder.find_spec(name, path)
    except Exception:  # noqa: BLE001 - another library's finder; the import in the worker will report it
        return None
    return spec


def _is_definition(obj: type | FunctionType) -> bool:
    # A local function is written where it occurs: a loop may create any number of them.
    return isinstance(obj, type) or has_name(obj)


def _dump(pickler: _Pickler, value: Any, what: str) -> None:
    try:
        pickler.dump(value)
    except (CannotSend, KeyboardInterrupt):  # the first of a definition inside the value
        raise
    except BaseException as error:  # whatever a class does when it is pickled
        # "cannot pickle '_thread.lock' object" names the type inside the value that is in the way.
        why = described(error)
        inside = re.search(r"'([\w.]+)' object", why)
        what_type = inside[1] if inside else type(value).__qualname__
        raise CannotSend(what, what_type, why) from error


def _make_code(arguments: tuple[Any, ...], file: str) -> CodeType:
    return CodeType(*arguments).replace(co_filename=file)
