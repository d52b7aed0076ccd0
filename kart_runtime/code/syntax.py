"""Definitions of a module: a hash of the syntax tree of each, and the names that it uses."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any, NamedTuple

import xxhash

from kart_runtime.code.scan import IMPORT, STAR, Chain, Import, Scan, chain_of, last_name, statements

_TASK_FIRST = frozenset({"TaskInstanceParameter", "ListTaskInstanceParameter", "SerializableParameter"})
"""Parameters whose first argument is not the default."""

_IDLE_ARGUMENTS = frozenset({"default", "description", "positional", "always_in_help", "visibility"})
"""Arguments of a parameter that do not change a result: the value is in the unique id of the task."""

_PLAIN_DECORATORS = frozenset(
    {"property", "staticmethod", "classmethod", "cached_property", "abstractmethod", "override", "final", "setter"}
    | {"cache", "lru_cache", "overload"}
)
"""Decorators that do not use the function otherwise than by its name."""


class Unit(NamedTuple):
    """Statement at the top of a module, or member of a class."""

    name: str
    """Name of the function, class or member, else empty."""
    hash: str
    binds: frozenset[str]
    imports: dict[str, Import]
    uses: frozenset[Chain]
    """Names from outside of the unit."""
    early: frozenset[Chain]
    """Those of `uses` that are evaluated when the module is imported, not when a function is called."""
    attributes: frozenset[str]
    """Attributes read from other objects than `self`."""
    own_attributes: frozenset[str]
    """Attributes read from `self`, `cls` and `super()`, and names used in the body of a class."""
    texts: frozenset[str]
    """Texts that could name a module."""
    changes: frozenset[Chain]
    """Names whose objects it may change when the module is imported."""
    late_changes: frozenset[Chain]
    """Names whose objects its functions change when they are called."""
    flags: frozenset[str]
    """What is read by names that cannot be told from the tree."""
    on_demand: bool = False
    """Whether it counts only if its name is used (members)."""
    is_import: bool = False
    header: ClassHeader | None = None


class ClassHeader(NamedTuple):
    """What is known of a class beside its statements."""

    bases: tuple[Chain, ...]
    decorated: bool
    members: tuple[Unit, ...]
    without_defaults: dict[str, Unit]
    """Declarations of parameters, without the default values."""
    fields: str
    """Annotated names, in order."""
    annotations: Unit
    """Annotations of these, which some libraries read."""


class LocalClass(NamedTuple):
    """Class inside a function."""

    unit: Unit
    function: str
    """Name of the outermost function or class."""
    needs_function: bool
    """Whether it uses variables of the function."""


class Tree(NamedTuple):
    """Definitions of a module."""

    units: tuple[Unit, ...]
    stars: tuple[Import, ...]
    local_classes: dict[str, LocalClass]
    """By qualified name."""


def parse(source: str | bytes) -> Tree:
    """Return the definitions in a module's source; raises SyntaxError or ValueError."""
    module = ast.parse(source)
    units: list[Unit] = []
    stars: list[Import] = []
    for statement in statements(module.body):
        if isinstance(statement, ast.ImportFrom) and statement.names[0].name == STAR:
            stars.append((statement.level, statement.module or "", STAR))
        else:
            units.append(_class(statement) if isinstance(statement, ast.ClassDef) else _plain(statement))
    return Tree(tuple(units), tuple(stars), dict(_local_classes(module.body)))


def hash_of(text: str) -> str:
    """Return the short hash of a text."""
    return xxhash.xxh3_64_hexdigest(text.encode("utf-8", "surrogatepass"))


def _unit(scan: Scan, name: str, **kinds: Any) -> Unit:
    """Return what a pass has found."""
    return Unit(
        name=name,
        hash=hash_of("".join(scan.out)),
        binds=frozenset(scan.module.stores),
        imports=scan.module.imports,
        uses=frozenset(scan.module.loads),
        early=frozenset(scan.early),
        attributes=frozenset(scan.attributes),
        own_attributes=frozenset(scan.own_attributes),
        texts=frozenset(scan.texts),
        changes=frozenset(scan.changes),
        late_changes=frozenset(scan.late_changes),
        flags=frozenset(scan.flags),
        **kinds,
    )


def _plain(statement: ast.stmt) -> Unit:
    """Return the unit of a statement at the top of a module that is no class."""
    scan = Scan()
    scan.visit(statement)
    if not _is_main_guard(statement) and _has_expression(statement):
        scan.changes |= {chain for chain in scan.early if chain[0] != IMPORT}
    is_import = isinstance(statement, ast.Import | ast.ImportFrom)
    return _unit(scan, getattr(statement, "name", "") if _is_function(statement) else "", is_import=is_import)


def _is_function(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef)


def _is_main_guard(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.If)
        and isinstance(statement.test, ast.Compare)
        and last_name(statement.test.left) == "__name__"
    )


def _has_expression(statement: ast.stmt) -> bool:
    """Return whether an expression is a statement here or in a block, which is then there for what it changes."""
    if isinstance(statement, ast.Expr):
        return not _is_idle(statement.value)
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return False
    bodies = [getattr(statement, name, ()) for name in ("body", "orelse", "finalbody")]
    bodies += [handler.body for handler in getattr(statement, "handlers", ())]
    return any(_has_expression(inner) for body in bodies for inner in body)


def _is_idle(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) or (isinstance(value, ast.Call) and last_name(value.func) == "print")


def _class(node: ast.ClassDef) -> Unit:
    """Return the unit of a class: its header and members are hashed one by one."""
    scan = Scan()
    scan.out.append(f"ClassDef {node.name}(")
    scan.class_arguments(node)
    scan.in_class = True
    members: list[Unit] = []
    without_defaults: dict[str, Unit] = {}
    for statement in statements(node.body):
        name = _member_name(statement)
        if name is None:
            scan.visit(statement)
            scan.out.append(";")
            continue
        members.append(_member(statement, name))
        if (declaration := _without_default(statement)) is not None:
            without_defaults[name] = _member(declaration, name)
    scan.module.stores, scan.module.imports = {node.name}, {}
    bases = tuple(chain for base in node.bases if (chain := chain_of(base)) is not None)
    header = ClassHeader(bases, bool(node.decorator_list), tuple(members), without_defaults, *_annotations(node))
    return _unit(scan, node.name, header=header)


def _annotations(node: ast.ClassDef) -> tuple[str, Unit]:
    annotated = [statement for statement in node.body if isinstance(statement, ast.AnnAssign)]
    scan = Scan()
    scan.many(statement.annotation for statement in annotated)
    return ",".join(last_name(statement.target) for statement in annotated), _unit(scan, "")


def _member_name(statement: ast.stmt) -> str | None:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return statement.name
    if isinstance(statement, ast.AnnAssign):
        target: ast.expr = statement.target
    elif isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target = statement.targets[0]
    else:
        return None
    return target.id if isinstance(target, ast.Name) else None


def _member(statement: ast.stmt, name: str) -> Unit:
    scan = Scan(in_class=True)
    scan.visit(statement)
    return _unit(scan, name, on_demand=_is_on_demand(statement, name))


def _is_on_demand(statement: ast.stmt, name: str) -> bool:
    """Return whether a member does nothing unless it is used by its name."""
    if name.startswith("__") and name.endswith("__"):
        return False
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        return all(last_name(decorator) in _PLAIN_DECORATORS for decorator in statement.decorator_list)
    return not any(isinstance(node, ast.Call | ast.ClassDef) for node in ast.walk(statement))


def _without_default(statement: ast.stmt) -> ast.stmt | None:
    """Return the declaration of a parameter without its default value, which is in the unique id where it counts."""
    if not isinstance(statement, ast.Assign | ast.AnnAssign) or not isinstance(statement.value, ast.Call):
        return None
    call = statement.value
    if last_name(call.func) == "parameter" and isinstance(statement, ast.AnnAssign):
        call = ast.Call(func=call.func, args=[statement.annotation, statement.annotation], keywords=call.keywords)
    elif not last_name(call.func).endswith("Parameter"):
        return None
    arguments = call.args if last_name(call.func) in _TASK_FIRST else call.args[1:]
    keywords = [keyword for keyword in call.keywords if keyword.arg not in _IDLE_ARGUMENTS]
    target = statement.target if isinstance(statement, ast.AnnAssign) else statement.targets[0]
    return ast.Assign(targets=[target], value=ast.Call(func=call.func, args=arguments, keywords=keywords))


def _local_classes(body: list[ast.stmt]) -> Iterator[tuple[str, LocalClass]]:
    for statement in body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from _classes_inside(statement, statement.name, statement)


def _classes_inside(node: ast.AST, path: str, outermost: Any) -> Iterator[tuple[str, LocalClass]]:
    """Go through the classes inside a function or class, at any depth."""
    for child in ast.iter_child_nodes(node):
        inner = path
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            inner = f"{path}.{child.name}" if isinstance(node, ast.ClassDef) else f"{path}.<locals>.{child.name}"
        if isinstance(child, ast.ClassDef):
            unit = _class(child)
            yield inner, LocalClass(unit, outermost.name, _reads(unit, _bound_inside(outermost)))
        if isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):
            yield from _classes_inside(child, inner, outermost)


def _bound_inside(node: ast.AST) -> set[str]:
    """Return the names that are bound anywhere inside a definition."""
    names: set[str] = set()
    for child in ast.walk(node):
        if isinstance(child, ast.Name) and not isinstance(child.ctx, ast.Load):
            names.add(child.id)
        elif isinstance(child, ast.arg):
            names.add(child.arg)
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and child is not node:
            names.add(child.name)
        elif isinstance(child, ast.alias):
            names.add((child.asname or child.name).partition(".")[0])
    return names


def _reads(unit: Unit, names: set[str]) -> bool:
    members = unit.header.members if unit.header is not None else ()
    uses = unit.uses.union(*(member.uses for member in members))
    return any(chain[0] in names for chain in uses)
