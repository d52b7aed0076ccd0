"""Code that the result of a task depends on: its class, and the definitions of the project that it uses.

Names are followed from definition to definition and module to module. A member of a class that does nothing by itself
counts where its name is read anywhere in the code that counts, or where it replaces a member of a class of a library.
Another task's class is followed only for what is called or read on it, since its result has a fingerprint of its own.
"""

from __future__ import annotations

import builtins
import pkgutil
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache
from typing import Any, NamedTuple

import xxhash

from kart_runtime.code.loaded import LoadedModule, class_unit
from kart_runtime.code.modules import ENGINE, Module, file_of, find_module, parts_of, place_of
from kart_runtime.code.scan import ATTRIBUTES, CALL, IMPORT, MODULES, STAR, VARIABLES, Chain, Import
from kart_runtime.code.syntax import Unit, hash_of

_IDLE_BASES = frozenset({"object", "Generic", "Protocol", "abc.ABC", "ABC"})
"""Bases that call no methods of the class."""

_LAST = 1 << 30

_EDITED = "(edited after it was imported)"
"""Makes a fingerprint unlike that of the file, since it is not the code in the file that runs."""


class _Target(NamedTuple):
    """What a name stands for: a definition (`name`), a module as a whole, or something of a library (`text`)."""

    module: Module | None
    name: str
    rest: Chain
    text: str


def definitions(cls: type) -> dict[str, str]:
    """Return the hash of each definition that a class uses, by label."""
    return _Walk(cls).run()


class _Walk:
    """One way through the definitions, from a class on."""

    def __init__(self, cls: type) -> None:
        self.root = cls.__module__.partition(".")[0]
        self.found: dict[str, list[tuple[int, str]]] = {}
        self.queue: deque[tuple[Module, str, int, Unit]] = deque()
        self.reached: set[tuple[str, int]] = set()
        self.whole_modules: set[str] = set()
        self.by_module: dict[str, Module | None] = {}
        self.task_kinds: dict[int, bool] = {}
        self.read: set[str] = set()
        self.read_elsewhere: set[str] = set()
        self.waiting: dict[str, list[tuple[Module, str, int, Unit]]] = {}
        self.waiting_elsewhere: dict[str, list[tuple[Module, str, int, Unit]]] = {}
        self.texts: set[str] = set()
        self.flags: set[str] = set()
        self.own: dict[int, tuple[Module, Unit]] = {}
        self.registries: set[tuple[str, str]] = set()
        self.changes_elsewhere: dict[tuple[str, str], list[tuple[Module, int, Unit]]] = {}
        self.keep: list[Unit] = []  # `id()` is a key
        self.hooks: set[str] = set()
        self._start(cls)

    def _start(self, cls: type) -> None:
        starts: list[tuple[Module, type]] = []
        for base in cls.__mro__:
            module = self.module(base.__module__) or self._loaded(base)
            if module is None:
                self.hooks.update(vars(base))
            else:
                starts.append((module, base))
        classes: list[tuple[Module, str, Unit]] = []
        for module, base in starts:
            for unit, function in class_unit(module, base):
                self.own[id(unit)] = (module, unit)
                self.keep.append(unit)
                classes.append((module, base.__qualname__.replace("<locals>.", ""), unit))
                if function:
                    self.use(_Target(module, function, (), ""))
        for module, name, unit in classes:
            self.add_class(module, f"{module.label}: {name}", 0, unit, own=True)
            for place, effect in module.changing.get(name, ()):
                if not module.is_engine_call(effect):
                    self.reach(module, f"{module.label}: {name}", place, effect)

    def _loaded(self, cls: type) -> Module | None:
        """Return the module of a class that is in no file, such as a notebook cell."""
        name = cls.__module__
        root = name.partition(".")[0]
        has_file = file_of(sys.modules.get(name)) is not None
        if has_file or root in ENGINE or root in sys.stdlib_module_names:
            return None
        self.by_module[name] = self.by_module.get(name) or LoadedModule.of(cls)
        return self.by_module[name]

    def run(self) -> dict[str, str]:
        """Follow everything, and return the hashes."""
        while self.queue:
            self._step(*self.queue.popleft())
            if not self.queue:
                self._registrations()
        return {label: hash_of(" ".join(text for _, text in sorted(hashes))) for label, hashes in self.found.items()}

    def module(self, name: str) -> Module | None:
        """Return a module of the project by its full name."""
        if name not in self.by_module:
            self.by_module[name] = find_module(name, self.root)
        return self.by_module[name]

    # ------------------------------------------------------------------------------------------ what counts

    def reach(self, module: Module, label: str, place: int, unit: Unit) -> None:
        """Count a unit under a label."""
        key = (label, id(unit))
        if key not in self.reached:
            self.reached.add(key)
            self.keep.append(unit)
            self.queue.append((module, label, place, unit))

    def _step(self, module: Module, label: str, place: int, unit: Unit) -> None:
        if module.was_edited:
            self.found[f"{module.label}: {_EDITED}"] = [(0, hash_of(_EDITED))]
        targets: set[str] = set()
        for chain in unit.uses:
            for target in self.lookup(module, chain):
                self.use(target)
                if target.text and chain[0] != IMPORT:
                    targets.add(f"{chain[0]}={target.text}")
        text = unit.hash if not targets else hash_of(f"{unit.hash} {' '.join(sorted(targets))}")
        self.found.setdefault(label, []).append((place, text))
        self._read(unit)
        self.flags |= unit.flags
        if VARIABLES in unit.flags:
            self.whole(module)
        self.texts |= unit.texts
        if MODULES in self.flags:
            self._modules_by_name(module)

    def _read(self, unit: Unit) -> None:
        names = (unit.attributes | unit.own_attributes) - self.read
        if ATTRIBUTES in unit.flags:
            names = frozenset(self.waiting)
        self.read |= unit.attributes | unit.own_attributes
        for name in names:
            for member in self.waiting.pop(name, ()):
                self.reach(*member)
        for name in unit.attributes - self.read_elsewhere:
            for member in self.waiting_elsewhere.pop(name, ()):
                self.reach(*member)
        self.read_elsewhere |= unit.attributes

    def _modules_by_name(self, module: Module) -> None:
        """Count the modules that a text names, where modules are imported by names that are worked out."""
        texts = self.texts | {f"{module.package}{text}" for text in self.texts if text.startswith(".")}
        texts |= {f"{start}{text}" for text in self.texts if text.startswith(".") for start in self.texts}
        for text in sorted(texts - {""}):
            package = text.removesuffix(f".{STAR}")
            if text.startswith(".") or (found := self.module(package)) is None:
                continue
            if found is not module:
                self.whole(found)
            for name in submodules(package) if package != text else ():
                if (inner := self.module(f"{package}.{name}")) is not None:
                    self.whole(inner)

    def use(self, target: _Target) -> None:
        """Count what a name stands for."""
        module, name, rest, _ = target
        if module is None:
            return
        if not name:
            self.whole(module)
            return
        label = f"{module.label}: {name}"
        for place, unit in module.bound(name):
            if unit.header is not None and id(unit) not in self.own:
                self.use_class(module, label, place, unit, rest)
            elif unit.header is None and not unit.is_import:
                self.reach(module, label, place, unit)
        self._use_changes(module, name)
        if (
            name in module.changing_later
            or "__subclasses__" in rest
            or any(_has_subclass_hook(unit) for _, unit in module.bound(name))
        ):
            self.registries.add((module.name, name))

    def _use_changes(self, module: Module, name: str) -> None:
        """Count the statements that change the object of a name when a module is imported."""
        is_foreign = bool(module.bound(name)) and all(unit.is_import for _, unit in module.bound(name))
        for place, unit in module.changing.get(name, ()):
            if not (module.is_engine_call(unit) or (is_foreign and unit.binds)):
                self.reach(module, f"{module.label}: {name}", place, unit)
        if not self.changes_elsewhere:
            self._find_changes_elsewhere()
        for other, place, unit in self.changes_elsewhere.get((module.name, name), ()):
            self.reach(other, f"{other.label}: {unit.name}" if unit.name else other.label, place, unit)

    def _find_changes_elsewhere(self) -> None:
        """Find the statements of modules that change objects of other modules when they are imported."""
        self.changes_elsewhere[("", "")] = []
        for module in self._universe():
            for place, unit, chain in module.foreign_changes:
                for target in self.lookup(module, chain):
                    if target.module not in (None, module) and target.name:
                        key = (target.module.name, target.name)
                        self.changes_elsewhere.setdefault(key, []).append((module, place, unit))

    def whole(self, module: Module) -> None:
        """Count all definitions of a module."""
        if module.name in self.whole_modules:
            return
        self.whole_modules.add(module.name)
        for place, unit in enumerate(module.tree.units):
            for name in unit.binds:
                target = unit.imports.get(name)
                if target is None:
                    self.use(_Target(module, name, (), ""))
                elif target[2]:
                    for found in self.lookup(module, (name,)):
                        if found.name:
                            self.use(found)
            if not unit.binds and not module.is_engine_call(unit):
                self.reach(module, module.label, place, unit)

    # ------------------------------------------------------------------------------------------ classes

    def use_class(self, module: Module, label: str, place: int, unit: Unit, rest: Chain) -> None:
        """Count a class; of another task only what is read on it."""
        if not self.is_task(module, unit):
            self.add_class(module, label, place, unit, own=False)
            return
        named = {name for name in rest if name != CALL} - self.hooks
        for owner, owner_label, base in self._with_bases(module, label, unit):
            assert base.header is not None
            for number, member in enumerate(base.header.members):
                if member.name in named or member.name in self.read_elsewhere - self.hooks:
                    self.reach(owner, f"{owner_label}.{member.name}", number, member)
                elif member.name not in self.hooks:
                    entry = (owner, f"{owner_label}.{member.name}", number, member)
                    self.waiting_elsewhere.setdefault(member.name, []).append(entry)

    def _with_bases(self, module: Module, label: str, unit: Unit) -> Iterator[tuple[Module, str, Unit]]:
        """Return a class and its bases within the project, but those of the task itself."""
        if id(unit) in self.own or unit.header is None:
            return
        yield module, label, unit
        for chain in unit.header.bases:
            for target in self.lookup(module, chain):
                if target.module is not None and target.name:
                    for _, base in target.module.bound(target.name):
                        if base is not unit:
                            yield from self._with_bases(target.module, f"{target.module.label}: {target.name}", base)

    def add_class(self, module: Module, label: str, place: int, unit: Unit, *, own: bool) -> None:
        """Count a class with the members that are used."""
        header = unit.header
        if header is None or (label, id(unit)) in self.reached:
            return
        self.reach(module, label, place, unit)
        bases = set() if own else self.libraries(module, unit) - _IDLE_BASES
        everything = bool(bases) or (header.decorated and not own)
        if bases:
            self.reach(module, label, _LAST, header.annotations)
        if everything and header.fields:
            self.found.setdefault(label, []).append((_LAST, hash_of(header.fields)))
        for number, member in enumerate(header.members):
            counted = header.without_defaults.get(member.name, member) if own else member
            entry = (module, f"{label}.{member.name}", number, counted)
            hooked = own and member.name in self.hooks
            if everything or not member.on_demand or hooked or member.name in self.read or ATTRIBUTES in self.flags:
                self.reach(*entry)
            else:
                self.waiting.setdefault(member.name, []).append(entry)

    def libraries(self, module: Module, unit: Unit, depth: int = 0) -> set[str]:
        """Return the bases of a class, or of its bases, that are no classes of the project."""
        found: set[str] = set()
        for chain in unit.header.bases if unit.header is not None and depth < 50 else ():
            targets = self.lookup(module, chain)
            if not targets:
                kind = getattr(builtins, chain[0], None)
                is_idle = isinstance(kind, type) and issubclass(kind, BaseException)
                found |= set() if is_idle else {chain[0]}
            for target in targets:
                if target.module is None:
                    found.add(target.text)
                else:
                    for _, base in target.module.bound(target.name):
                        found |= self.libraries(target.module, base, depth + 1)
        return found

    def is_task(self, module: Module, unit: Unit) -> bool:
        """Return whether a class is a task's."""
        known = self.task_kinds.get(id(unit))
        if known is None:
            known = self.task_kinds[id(unit)] = any(map(_is_task_text, self.libraries(module, unit)))
            self.keep.append(unit)
        return known

    # ------------------------------------------------------------------------------------------ names

    def lookup(self, module: Module, chain: Chain, depth: int = 0) -> list[_Target]:
        """Return what a name stands for in a module."""
        if depth > 50:
            return []
        if chain[0] == IMPORT:
            return self._follow(module, (int(chain[1]), chain[2], chain[3]), chain[4:], depth)
        name, rest = chain[0], chain[1:]
        found: list[_Target] = []
        bound = module.bound(name)
        for _, unit in bound:
            if name in unit.imports:
                found += self._follow(module, unit.imports[name], rest, depth)
            if not unit.is_import:
                found.append(_Target(module, name, rest, f"{module.label}: {name}" if depth else ""))
        if module.changing.get(name) and bound and all(unit.is_import for _, unit in bound):
            found.append(_Target(module, name, rest, ""))
        return found or self._beyond(module, chain, depth)

    def _beyond(self, module: Module, chain: Chain, depth: int) -> list[_Target]:
        """Look a name up that a module does not bind itself."""
        libraries = []
        for star in module.tree.stars:
            target = self.module(module.absolute(star))
            if target is None:
                libraries.append(module.absolute(star))
            elif target is not module and (found := self.lookup(target, chain, depth + 1)):
                return found
        if hasattr(builtins, chain[0]):
            return []
        if module.bound("__getattr__") and depth:
            return [_Target(module, "", (), module.label)]
        return [_Target(None, "", (), f"{library}.{chain[0]}") for library in libraries]

    def _follow(self, module: Module, target: Import, rest: Chain, depth: int) -> list[_Target]:
        """Look up what an import binds."""
        name = module.absolute(target)
        found = self.module(name)
        chain = (target[2], *rest) if target[2] else rest
        if found is None:
            return [_Target(None, "", (), f"{name}.{target[2]}".rstrip("."))]
        return self._inside(found, chain, depth + 1)

    def _inside(self, module: Module, chain: Chain, depth: int) -> list[_Target]:
        """Look up a name and attributes in a module."""
        if not chain or chain[0] == CALL or depth > 50:
            return [_Target(module, "", (), module.label)]
        submodule = self.module(f"{module.name}.{chain[0]}")
        if submodule is not None and all(
            module.absolute(unit.imports.get(chain[0], (0, "", ""))) == module.name
            for _, unit in module.bound(chain[0])
        ):
            return self._inside(submodule, chain[1:], depth + 1)
        return self.lookup(module, chain, depth)

    # ------------------------------------------------------------------------------------------ registries

    def _registrations(self) -> None:
        """Count what is put into a used registry when modules are imported, such as decorated functions."""
        while self.registries:
            owner_name, name = self.registries.pop()
            owner = self.module(owner_name)
            if owner is None:
                continue
            changers = {name} | {
                unit.name
                for unit in owner.tree.units
                for part in parts_of(unit)
                if any(chain[0] == name for chain in part.late_changes)
            }
            for module in self._universe():
                for place, unit in enumerate(module.tree.units):
                    if self._calls(module, unit, owner, changers - {""}):
                        for bound in unit.binds or {""}:
                            if bound:
                                self.use(_Target(module, bound, (), ""))
                            else:
                                self.reach(module, module.label, place, unit)

    def _calls(self, module: Module, unit: Unit, owner: Module, names: set[str]) -> bool:
        """Return whether a unit uses a name of a module while it is imported."""
        for part in parts_of(unit):
            for chain in part.early:
                if names.isdisjoint(chain) and not any(chain[0] in one.imports for _, one in module.bound(chain[0])):
                    continue
                if module is owner and chain[0] in unit.binds:
                    continue
                if any(target.module is owner and target.name in names for target in self.lookup(module, chain)):
                    return not unit.is_import
        return False

    def _universe(self) -> list[Module]:
        """Return the modules that the task's own modules import, directly or not."""
        found: dict[str, Module] = {}
        names = [module.name for module, _ in self.own.values()]
        while names:
            name = names.pop()
            module = self.module(name)
            if module is None or name in found:
                continue
            found[name] = module
            names += module.import_names
        return [found[name] for name in sorted(found)]


def _has_subclass_hook(unit: Unit) -> bool:
    return unit.header is not None and any(member.name == "__init_subclass__" for member in unit.header.members)


def _is_task_text(text: str) -> bool:
    """Return whether a class of a library, such as ``luigi.Task``, is a task's."""
    module, _, name = text.rpartition(".")
    luigi: Any = sys.modules.get("luigi")
    kind = getattr(sys.modules.get(module), name, None)
    if luigi is None or not isinstance(kind, type):
        return module.partition(".")[0] in ENGINE and "Task" in name
    return issubclass(kind, luigi.Task) and not issubclass(kind, luigi.Config)


def submodules(package: str) -> list[str]:
    """Return the names of the modules in a package."""
    place = place_of(package)
    return sorted(info.name for info in pkgutil.iter_modules(place.folders if place else None))


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Return ``name==version`` of installed packages, by name."""
    return {name: f"{name}=={_version(name)}" for name in packages}


@cache
def _version(name: str) -> str:
    from importlib import metadata

    with suppress(metadata.PackageNotFoundError):
        return metadata.version(name)
    for distribution in metadata.packages_distributions().get(name, ()):
        return metadata.version(distribution)
    return "none"


def fingerprint_of(found: dict[str, str]) -> str:
    """Return the hash of all definitions."""
    text = "\n".join(f"{label}\0{found[label]}" for label in sorted(found))
    return xxhash.xxh3_128_hexdigest(text.encode("utf-8", "surrogatepass"))
