"""Pass through the syntax tree of a definition that writes its canonical text and collects the names it uses.

Comments, docstrings, formatting and annotations are no part of the text.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from typing import Any

Chain = tuple[str, ...]
"""Name and the attributes read from it: ``models.fit`` is ``("models", "fit")``; a call on the way is `CALL`."""

Import = tuple[int, str, str]
"""What an import binds a name to: number of dots, module, and name in the module or an empty text."""

CALL = "()"
IMPORT = "import"
"""Begins the chain of a name that a function imports: ``("import", dots, module, name, *attributes)``."""

STAR = "*"
ATTRIBUTES, VARIABLES, MODULES = "attributes", "variables", "modules"
"""Flags: these are read by names that cannot be told from the tree."""

_SKIPPED = frozenset({"ctx", "kind", "type_comment", "type_params", "annotation", "returns", "simple", "type_ignores"})
_FIELDS = {
    kind: tuple((name, f"{name}=") for name in kind._fields if name not in _SKIPPED)
    for kind in vars(ast).values()
    if isinstance(kind, type) and issubclass(kind, ast.AST)
}
_CHANGING = frozenset(
    {"add", "append", "appendleft", "clear", "discard", "extend", "insert", "pop", "popitem", "register", "remove"}
    | {"setdefault", "update"}
)
"""Methods that change the object they are called on."""

_BY_NAME = {"getattr": 1, "setattr": 1, "delattr": 1, "hasattr": 1, "attrgetter": 0, "methodcaller": 0}
"""Functions that read attributes by name, and the position of the name."""

_REFLECTING = frozenset({"vars", "dir", "getmembers"})
_ANYTHING = frozenset({"eval", "exec", "globals"})
_IMPORTING = frozenset({"import_module", "__import__", "load_module", "resolve_name", "run_module", "find_spec"})
_TYPING = frozenset({"typing", "typing_extensions", "__future__"})


def statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Go through statements without those that do nothing (docstrings, ...) or only serve type checkers."""
    for statement in body:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue
        if isinstance(statement, ast.Pass) or (isinstance(statement, ast.AnnAssign) and statement.value is None):
            continue
        if isinstance(statement, ast.ImportFrom) and statement.module in _TYPING and not statement.level:
            continue
        if isinstance(statement, ast.If) and last_name(statement.test) == "TYPE_CHECKING":
            yield from statements(statement.orelse)
        else:
            yield statement


def last_name(node: ast.AST) -> str:
    """Return the name, or last attribute, that an expression reads or calls."""
    if isinstance(node, ast.Call):
        return last_name(node.func)
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def chain_of(node: ast.AST) -> Chain | None:
    """Return the name and attributes of an expression, up to a subscript, or None if it begins with no name."""
    attributes: list[str] = []
    while not isinstance(node, ast.Name):
        if isinstance(node, ast.Attribute):
            attributes.append(node.attr)
            node = node.value
        elif isinstance(node, ast.Call):
            attributes.append(CALL)
            node = node.func
        elif isinstance(node, ast.Subscript):
            attributes.clear()
            node = node.value
        else:
            return None
    return (node.id, *reversed(attributes))


class _Scope:
    """Names read and bound in a module, class, function or comprehension."""

    __slots__ = ("changed", "elsewhere", "globals", "imports", "is_class", "is_comprehension", "loads", "stores")

    def __init__(self, *, is_class: bool = False, is_comprehension: bool = False) -> None:
        self.is_class, self.is_comprehension = is_class, is_comprehension
        self.loads: set[Chain] = set()
        self.stores: set[str] = set()
        self.changed: set[Chain] = set()
        self.globals: set[str] = set()
        self.elsewhere: set[str] = set()  # names that `global` or `nonlocal` says are bound outside
        self.imports: dict[str, Import] = {}


class Scan:
    """One pass, and what it has found."""

    def __init__(self, *, in_class: bool = False) -> None:
        self.out: list[str] = []
        self.module = self.scope = _Scope()
        self.scopes = [self.scope]
        self.depth = 0  # of functions
        self.in_class = in_class
        self.early: set[Chain] = set()
        self.attributes: set[str] = set()
        self.own_attributes: set[str] = set()
        self.texts: set[str] = set()
        self.changes: set[Chain] = set()
        self.late_changes: set[Chain] = set()
        self.flags: set[str] = set()

    def visit(self, node: ast.AST) -> None:
        """Write a node and what is below it."""
        handler = _HANDLERS.get(type(node))
        if handler is not None:
            handler(self, node)
        else:
            self.write(node)

    def write(self, node: ast.AST) -> None:
        """Write a node as it is."""
        out = self.out
        kind = type(node)
        out.append(f"{kind.__name__}(")
        for name, label in _FIELDS[kind]:
            value = getattr(node, name, None)
            if value is None or value == []:
                continue
            out.append(label)
            if type(value) is list:
                self.many(statements(value) if name in ("body", "orelse", "finalbody") else value)
            elif isinstance(value, ast.AST):
                self.visit(value)
            else:
                out.append(repr(value))
        out.append(")")

    def many(self, nodes: Iterable[Any]) -> None:
        """Write nodes, names or None."""
        for node in nodes:
            if isinstance(node, ast.AST):
                self.visit(node)
            else:
                self.out.append(repr(node))
            self.out.append(",")

    def load(self, chain: Chain) -> None:
        """Note that a name is read."""
        self.scope.loads.add(chain)
        if not self.depth:
            self.early.add(chain)
            if self.in_class:
                self.own_attributes.add(chain[0])

    def change(self, node: ast.AST) -> None:
        """Note that the object of a name is changed."""
        chain = chain_of(node)
        if chain is not None:
            (self.scope.changed if self.depth else self.changes).add(chain)

    def enter(self, scope: _Scope) -> None:
        """Begin a scope."""
        self.scopes.append(scope)
        self.scope = scope

    def leave(self) -> None:
        """End a scope: what it does not bind itself belongs to the scope around it."""
        scope = self.scopes.pop()
        outer = self.scope = self.scopes[-1]
        own = frozenset() if scope.is_class else scope.stores - scope.elsewhere
        for chain in scope.loads:
            if chain[0] in scope.imports:
                level, module, name = scope.imports[chain[0]]
                self.module.loads.add((IMPORT, str(level), module, name, *chain[1:]))
            elif chain[0] in scope.globals:
                self.module.loads.add(chain)
            elif chain[0] not in own:
                outer.loads.add(chain)
        rebound = {(name,) for name in scope.stores & scope.globals}
        self.module.loads |= rebound
        changed = rebound | {chain for chain in scope.changed if chain[0] not in own}
        (outer.changed if self.depth else self.late_changes).update(changed)

    def name(self, node: ast.Name) -> None:
        """Write a name."""
        self.out.append(f"{node.id} ")
        if isinstance(node.ctx, ast.Load):
            self.load((node.id,))
        else:
            self.scope.stores.add(node.id)

    def constant(self, node: ast.Constant) -> None:
        """Write a constant."""
        value = node.value
        self.out.append(f"{value!r} ")
        if type(value) is str and value.replace(".", "").isidentifier():
            self.texts.add(value)

    def attribute(self, node: ast.Attribute) -> None:
        """Write an attribute with those before it."""
        names = [node.attr]
        base = node.value
        while isinstance(base, ast.Attribute):
            names.append(base.attr)
            base = base.value
        names.reverse()
        if isinstance(base, ast.Name):
            self.out.append(f"[{base.id} .{'.'.join(names)}]")
            self.load((base.id, *names))
        else:
            self.out.append("[")
            self.visit(base)
            self.out.append(f".{'.'.join(names)}]")
            chain = chain_of(base) if isinstance(base, ast.Call) else None
            if chain is not None:
                self.load((*chain, *names))
        self._read(base, names)
        if not isinstance(node.ctx, ast.Load):
            self.change(node)

    def _read(self, base: ast.expr, names: list[str]) -> None:
        if _is_self(base):
            self.own_attributes.add(names[0])
            self.attributes.update(names[1:])
        else:
            self.attributes.update(names)
        if "__dict__" in names:
            self.flags.add(ATTRIBUTES)
        if isinstance(base, ast.Name) and (base.id, names[0]) == ("sys", "modules"):
            self.flags.add(VARIABLES)

    def subscript(self, node: ast.Subscript) -> None:
        """Write a subscript."""
        self.write(node)
        if not isinstance(node.ctx, ast.Load):
            self.change(node.value)

    def call(self, node: ast.Call) -> None:
        """Write a call, and note what it reads by name."""
        self.write(node)
        function = last_name(node.func)
        position = _BY_NAME.get(function)
        if position is not None:
            if len(node.args) > position:
                self._read_by_name(node.args[position])
        elif function in _REFLECTING:
            self.flags.add(ATTRIBUTES)
        elif function in _ANYTHING and isinstance(node.func, ast.Name):
            self.flags |= {ATTRIBUTES, VARIABLES}
        elif function in _IMPORTING:
            self.flags.add(MODULES)
            self._import_by_name(node.args[:1])

    def _read_by_name(self, name: ast.expr) -> None:
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            self.attributes.update(name.value.split("."))
        else:
            self.flags.add(ATTRIBUTES)

    def _import_by_name(self, names: list[ast.expr]) -> None:
        """Note the beginning of a module's name that is put together, such as ``f"lib.models.{kind}"``."""
        for name in names:
            left = name.left if isinstance(name, ast.BinOp) else name
            first = left.values[0] if isinstance(left, ast.JoinedStr) and left.values else left
            if first is not name and isinstance(first, ast.Constant) and isinstance(first.value, str):
                self.texts.add(f"{first.value.rpartition('.')[0]}.{STAR}")

    def expression(self, node: ast.Expr) -> None:
        """Write an expression that is a statement, which is there for what it changes."""
        self.write(node)
        call = node.value
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in _CHANGING:
            self.change(call.func.value)

    def function(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> None:
        """Write a function without its annotations."""
        name = getattr(node, "name", "")
        self.out.append(f"{type(node).__name__} {name}(")
        self.decorators(getattr(node, "decorator_list", ()))
        if name:
            self.scope.stores.add(name)
        self.out.append(";")
        self.many((*node.args.defaults, None, *node.args.kw_defaults))
        self.enter(_Scope())
        self.depth += 1
        self._arguments(node.args)
        if isinstance(node, ast.Lambda):
            self.visit(node.body)
        else:
            self.many(statements(node.body))
        self.depth -= 1
        self.leave()
        self.out.append(")")

    def _arguments(self, arguments: ast.arguments) -> None:
        kinds = (arguments.posonlyargs, arguments.args, [arguments.vararg], arguments.kwonlyargs, [arguments.kwarg])
        for kind in kinds:
            names = [argument.arg for argument in kind if argument is not None]
            self.out.append(f"{','.join(names)};")
            self.scope.stores.update(names)

    def decorators(self, nodes: Iterable[ast.expr]) -> None:
        """Write decorators; one that is an attribute, such as ``@registry.register``, may change what it belongs to."""
        for node in nodes:
            self.visit(node)
            self.out.append(",")
            chain = chain_of(node)
            if chain is not None and len(chain) > 1:
                self.change(node)

    def class_(self, node: ast.ClassDef) -> None:
        """Write a class inside another definition."""
        self.out.append(f"ClassDef {node.name}(")
        self.scope.stores.add(node.name)
        self.class_arguments(node)
        self.enter(_Scope(is_class=True))
        self.many(statements(node.body))
        self.leave()
        self.out.append(")")

    def class_arguments(self, node: ast.ClassDef) -> None:
        """Write the decorators, base classes and keywords of a class."""
        self.decorators(node.decorator_list)
        for part in (node.bases, node.keywords):
            self.out.append(";")
            self.many(part)

    def comprehension(self, node: Any) -> None:
        """Write a comprehension, whose first iterable belongs to the scope around it."""
        self.visit(node.generators[0].iter)
        self.enter(_Scope(is_comprehension=True))
        self.write(node)
        self.leave()

    def walrus(self, node: ast.NamedExpr) -> None:
        """Write an assignment in an expression, which binds a name outside of comprehensions."""
        self.out.append(f"{node.target.id}:=")
        next(scope for scope in reversed(self.scopes) if not scope.is_comprehension).stores.add(node.target.id)
        self.visit(node.value)

    def annotated(self, node: ast.AnnAssign) -> None:
        """Write an annotated assignment as one without an annotation."""
        if node.value is not None:
            self.visit(ast.Assign(targets=[node.target], value=node.value))

    def scope_statement(self, node: ast.Global | ast.Nonlocal) -> None:
        """Write the names that are bound in another scope."""
        self.out.append(f"{type(node).__name__}({','.join(node.names)})")
        self.scope.elsewhere.update(node.names)
        if isinstance(node, ast.Global):
            self.scope.globals.update(node.names)

    def import_(self, node: ast.Import) -> None:
        """Write `import`."""
        for alias in node.names:
            first = alias.name.partition(".")[0]
            bound, module = (alias.asname, alias.name) if alias.asname else (first, first)
            self._import(bound, (0, module, ""), alias.name)
            self.scope.imports[alias.name] = (0, alias.name, "")  # a dotted name is nobody's, but says what is loaded

    def import_from(self, node: ast.ImportFrom) -> None:
        """Write `from ... import`."""
        for alias in node.names:
            self._import(alias.asname or alias.name, (node.level, node.module or "", alias.name), "")

    def _import(self, bound: str, target: Import, full: str) -> None:
        self.out.append(f"import {target} {full} {bound},")
        self.scope.stores.add(bound)
        self.scope.imports[bound] = target

    def binder(self, node: ast.AST) -> None:
        """Write a node that binds names given as texts."""
        names = (getattr(node, "name", None), getattr(node, "rest", None))
        self.scope.stores.update(name for name in names if isinstance(name, str))
        self.write(node)


def _is_self(node: ast.expr) -> bool:
    if isinstance(node, ast.Name):
        return node.id in ("self", "cls")
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "super"


_HANDLERS: dict[type[ast.AST], Callable[[Scan, Any], None]] = {
    ast.Name: Scan.name,
    ast.Constant: Scan.constant,
    ast.Attribute: Scan.attribute,
    ast.Subscript: Scan.subscript,
    ast.Call: Scan.call,
    ast.Expr: Scan.expression,
    ast.FunctionDef: Scan.function,
    ast.AsyncFunctionDef: Scan.function,
    ast.Lambda: Scan.function,
    ast.ClassDef: Scan.class_,
    ast.ListComp: Scan.comprehension,
    ast.SetComp: Scan.comprehension,
    ast.DictComp: Scan.comprehension,
    ast.GeneratorExp: Scan.comprehension,
    ast.NamedExpr: Scan.walrus,
    ast.AnnAssign: Scan.annotated,
    ast.Global: Scan.scope_statement,
    ast.Nonlocal: Scan.scope_statement,
    ast.Import: Scan.import_,
    ast.ImportFrom: Scan.import_from,
    ast.ExceptHandler: Scan.binder,
    ast.MatchAs: Scan.binder,
    ast.MatchStar: Scan.binder,
    ast.MatchMapping: Scan.binder,
}
