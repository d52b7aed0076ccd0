"""Whatever a module holds: edits that change no behavior change no hash, and edits of what is used change one."""

from __future__ import annotations

import ast
import random
import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kart_runtime
from kart_runtime.code.syntax import Tree, Unit, parse
from tests.runtime import recorded

names = st.sampled_from(["alpha", "beta", "gamma", "rows", "value"])
constants = st.one_of(
    st.integers(0, 99), st.floats(0, 9), st.sampled_from(["a", "b#c", "d'e"]), st.booleans(), st.none()
)
atoms = st.one_of(constants.map(repr), names)
expressions = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from(["+", "-", "*", "==", "and"]), inner),
        st.builds("{}({}, key={})".format, names, inner, inner),
        st.builds("[{} for {} in {}]".format, inner, names, inner),
        st.builds("{{'k': {}, **{}}}".format, inner, inner),
        st.builds("(lambda {}={}: {})".format, names, atoms, inner),
        st.builds("{}.{}".format, names, names),
        st.builds("f'{{{}}} {{{}:>3}}'".format, names, names),
    ),
    max_leaves=6,
)


@st.composite
def functions(draw, number: int = 0):
    lines = [f"def f{number}({draw(names)}, *, given={draw(atoms)}):"]
    body = []
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.integers(0, 3))
        if kind == 0:
            body.append(f"{draw(names)} = {draw(expressions)}")
        elif kind == 1:
            body += [f"if {draw(expressions)}:", f"    {draw(names)} = {draw(expressions)}"]
        elif kind == 2:
            body += [f"for {draw(names)} in {draw(expressions)}:", f"    {draw(names)} += {draw(expressions)}"]
        else:
            body += ["with open() as file:", f"    {draw(names)}[{draw(expressions)}] = {draw(expressions)}"]
    body.append(f"return {draw(expressions)}")
    return "\n".join(lines + [f"    {line}" for line in body])


@st.composite
def modules(draw):
    parts = [draw(functions(number)) for number in range(draw(st.integers(1, 4)))]
    parts += [f"C{number} = {draw(expressions)}" for number in range(draw(st.integers(0, 2)))]
    methods = textwrap.indent("\n".join(draw(functions(number)) for number in range(2)), "    ")
    return "\n".join([*parts, f"class K(Base, key={draw(atoms)}):\n    attribute = {draw(expressions)}\n{methods}"])


def unordered(tree: Tree) -> list[str]:
    return sorted(map(repr, map(in_order, tree.units)))


def in_order(value):
    """Return a text-like form of a unit in which sets have an order."""
    if isinstance(value, frozenset):
        return sorted(map(repr, value))
    if isinstance(value, Unit):
        return [in_order(item) for item in value]
    if isinstance(value, tuple):
        return [in_order(item) for item in value]
    if isinstance(value, dict):
        return {key: in_order(item) for key, item in value.items()}
    return value


class Idle(ast.NodeTransformer):
    """Adds what does nothing: docstrings, annotations, bare names with a type, `pass`."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def visit_FunctionDef(self, node):
        self.generic_visit(node)
        if ast.get_docstring(node) is None and self.random.random() < 0.7:
            node.body.insert(0, ast.Expr(ast.Constant(f"Doc {self.random.random()}.")))
        if self.random.random() < 0.5:
            node.body.append(ast.Pass())
        node.returns = ast.Name("int", ast.Load()) if self.random.random() < 0.5 else None
        for argument in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]:
            argument.annotation = ast.Constant("list[int]") if self.random.random() < 0.5 else None
        return node

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Assign(self, node):
        self.generic_visit(node)
        if len(node.targets) == 1 and isinstance(node.targets[0], ast.Name) and self.random.random() < 0.5:
            kind = ast.Name("object", ast.Load())
            return ast.AnnAssign(target=node.targets[0], annotation=kind, value=node.value, simple=1)
        return node


def spread(text: str, seed: int) -> str:
    """Add comments and blank lines between the lines that begin at the margin."""
    chance = random.Random(seed)
    lines = []
    for line in ast.unparse(ast.parse(text)).splitlines():
        if not line.startswith(" ") and line.strip() and not line.startswith(("else", "elif", "except", "finally")):
            lines += ["", f"# comment {chance.random()}"] * chance.randint(0, 2)
        lines.append(line)
    return "\n".join(lines)


def without_fields(tree: Tree) -> list[str]:
    """Return the hashes, without the names of annotated attributes, which count for data classes."""
    return sorted(
        repr(
            (
                unit.hash,
                sorted(map(repr, unit.uses)),
                [member.hash for member in unit.header.members] if unit.header else (),
            )
        )
        for unit in tree.units
    )


@settings(deadline=None, max_examples=60)
@given(modules(), st.integers(0, 10**6))
def test_idle_edits_change_nothing(text, seed):
    before = parse(text)
    assert unordered(parse(ast.unparse(ast.parse(text)))) == unordered(before), "formatting"
    assert unordered(parse(spread(text, seed))) == unordered(before), "comments and blank lines"
    idle = ast.unparse(ast.fix_missing_locations(Idle(seed).visit(ast.parse(text))))
    assert without_fields(parse(idle)) == without_fields(before), "docstrings, annotations, pass"


@settings(deadline=None, max_examples=40)
@given(modules(), st.randoms(use_true_random=False))
def test_the_order_of_definitions_does_not_count(text, chance):
    body = ast.parse(text).body
    chance.shuffle(body)
    assert unordered(parse(ast.unparse(ast.Module(body, [])))) == unordered(parse(text))


class Mutation(ast.NodeTransformer):
    """Changes one constant or operator."""

    def __init__(self, place: int) -> None:
        self.place = place

    def _is_here(self) -> bool:
        self.place -= 1
        return self.place == -1

    def visit_Constant(self, node):
        return ast.Constant("changed") if self._is_here() else node

    def visit_BinOp(self, node):
        self.generic_visit(node)
        if self._is_here():
            node.op = ast.Mod()
        return node

    def visit_JoinedStr(self, node):
        return node


@settings(deadline=None, max_examples=60)
@given(modules(), st.integers(0, 30))
def test_a_changed_constant_or_operator_changes_exactly_its_definition(text, place):
    tree = ast.parse(text)
    mutation = Mutation(place)
    mutated = ast.unparse(ast.fix_missing_locations(mutation.visit(tree)))
    if mutation.place >= 0:
        return  # there were fewer
    before, after = parse(text).units, parse(mutated).units
    hashes = [
        [(unit.hash, *(m.hash for m in unit.header.members)) if unit.header else (unit.hash,) for unit in units]
        for units in (before, after)
    ]
    differing = [index for index, (one, other) in enumerate(zip(*hashes, strict=True)) if one != other]
    assert len(differing) == 1


SOURCES = sorted(
    path for folder in (kart_runtime.__path__[0], recorded.__path__[0]) for path in Path(folder).rglob("*.py")
)


@pytest.mark.parametrize("path", SOURCES[::8], ids=lambda path: path.name)
def test_real_modules(path):
    text = path.read_text()
    before = parse(text)
    assert unordered(parse(ast.unparse(ast.parse(text)))) == unordered(before)
    assert unordered(parse(spread(text, 1))) == unordered(before)
    idle = ast.unparse(ast.fix_missing_locations(Idle(1).visit(ast.parse(text))))
    assert without_fields(parse(idle)) == without_fields(before)
    body = ast.parse(text).body
    random.Random(1).shuffle(body)
    assert unordered(parse(ast.unparse(ast.Module(body, [])))) == unordered(before)
