"""One class of a module that has several: its source, imports, configuration and tests, to move or to remove."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from kart_runtime.edits.python_source import CannotEdit, Edit
from kart_runtime.errors import ConfigError
from kart_runtime.project.mirror import Mirror, mirror, missing_packages
from kart_runtime.project.refactor.project_files import ProjectFiles
from kart_runtime.project.refactor.python_file import PythonFile
from kart_runtime.project.refactor.references import ModuleMove, new_suffix
from kart_runtime.project.refactor.yaml_file import Block, YamlFile, appended, interpolation_edits, scalar_edit

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def extract(files: ProjectFiles, module: str, cls: str, target: str, classes: Collection[str]) -> None:
    """Move one class to another module, which may exist, with its configuration, tests and references."""
    project = files.project
    old, new = f"{project.package}.{module}", f"{project.package}.{target}"
    before, after = mirror(project, module), mirror(project, target)
    move_class(files, cls, old, new)
    _follow(files, cls, old, new)
    _move_blocks(files, module, target, cls)
    _move_tests(files, before.test, after.test, cls, {*classes} - {cls})
    _drop_empty(files, before)
    for path in missing_packages(project, after):
        files.draft.write(path, b"")


def _drop_empty(files: ProjectFiles, mirrored: Mirror) -> None:
    """Delete a module that defines nothing any more, with its test if that has no test left."""
    draft = files.draft
    if definitions(files.python(mirrored.module)):
        return
    draft.write(mirrored.module, None)
    if draft.read(mirrored.test) is not None:
        names = definitions(files.python(mirrored.test))
        if not any(name.lower().startswith("test") for name in names):
            draft.write(mirrored.test, None)
    files.drop_empty_package(mirrored.module.parent)


# -- the class -------------------------------------------------------------------------------------------------------


def move_class(files: ProjectFiles, cls: str, old: str, new: str) -> None:
    """Move the source of a class; what it uses of its module is imported from there, and the other way round."""
    source, target = (mirror(files.project, module.partition(".")[2]).module for module in (old, new))
    place = files.draft.name(source)
    try:
        file = files.python(source)
        node = definition(file, cls)
        own = {*definitions(file)} - {cls}
        needed = sorted(own & used_names([node]))
        others = [other for other in file.source.tree.body if other is not node]
        users = [other for other in others if cls in used_names([other])]
    except CannotEdit as error:
        raise ConfigError(str(error), file=place) from error
    if needed and users:
        line = file.place(users[0])
        raise ConfigError(
            f"{cls} uses {', '.join(needed)} of its module, and {line} uses {cls}: the two modules would import each "
            "other. Move what both need to a module of its own first. Nothing was changed",
            file=place,
        )
    text = class_text(file, node)
    start, end = class_span(file, node)
    added = file.add_import(new, cls, files.project.package) if users else []
    files.draft.write(source, file.edited([Edit(start, end, ""), *added]))
    prune_imports(files, source, file)
    imports = [*imports_of(file, used_names([node])), *((old, name) for name in needed)]
    add_definition(files, target, text, imports, title=f'"""{_title(cls)}."""\n')


def _title(cls: str) -> str:
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z][a-z0-9]*|[0-9]+", cls)
    return " ".join(words).capitalize()


def definitions(file: PythonFile) -> dict[str, ast.stmt]:
    """Return the names that a module defines at its top, imports aside."""
    names: dict[str, ast.stmt] = {}
    for node in file.source.tree.body:
        if isinstance(node, Definition):
            names[node.name] = node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                names |= {inner.id: node for inner in ast.walk(target) if isinstance(inner, ast.Name)}
    return names


def definition(file: PythonFile, name: str) -> Definition:
    """Return the class or function with a name at the top of a file."""
    for node in file.source.tree.body:
        if isinstance(node, Definition) and node.name == name:
            return node
    raise CannotEdit(f"defines no {name} at its top")


def used_names(nodes: Iterable[ast.AST]) -> set[str]:
    """Return the names that nodes use, also in strings (annotations) and as parameters (fixtures)."""
    names: set[str] = set()
    for outer in nodes:
        docstrings = {id(inner.value) for inner in ast.walk(outer) if isinstance(inner, ast.Expr)}
        for node in ast.walk(outer):
            if isinstance(node, ast.Name):
                names.add(node.id)
            elif isinstance(node, ast.arg):
                names.add(node.arg)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
                names.update(re.findall(r"[A-Za-z_]\w*", node.value))
    return names


def class_span(file: PythonFile, node: Definition) -> tuple[int, int]:
    """Return first and last byte of a definition with the comments above it and the blank lines before them."""
    text = file.source.text
    start, end = _bare_span(file, node)
    blank = re.compile(rb"(?:[ \t]*\r?\n)*\Z").search(text, 0, start)
    first = blank.start() if blank else start
    # The line ending of what comes before stays.
    newline = text.find(b"\n", first, start) + 1 if first else 0
    return (newline or start), end


def class_text(file: PythonFile, node: Definition) -> str:
    """Return the source of a definition with its decorators and the comments above it."""
    start, end = _bare_span(file, node)
    return file.source.text[start:end].decode()


def _bare_span(file: PythonFile, node: Definition) -> tuple[int, int]:
    text = file.source.text
    start, end = file.source.span(node)
    for decorator in node.decorator_list:
        start = min(start, text.rindex(b"@", 0, file.source.span(decorator)[0]))
    start = text.rfind(b"\n", 0, start) + 1
    while start:
        above = text.rfind(b"\n", 0, start - 1) + 1
        if not text[above:start].startswith(b"#"):
            break
        start = above
    end = text.find(b"\n", end) + 1 or len(text)
    return start, end


def imports_of(file: PythonFile, names: set[str]) -> list[tuple[str, str]]:
    """Return module and name of the imports at the top of a file that some names need."""
    found = []
    for item in file.imports:
        if item.local in names and item.alias.name != "*":
            suffix = f" as {item.alias.asname}" if item.alias.asname else ""
            found.append((item.module, item.alias.name + suffix) if item.module else (item.alias.name + suffix, ""))
    return found


def add_definition(
    files: ProjectFiles, path: Path, text: str, imports: Iterable[tuple[str, str]], *, title: str
) -> None:
    """Add a class or function below the others of a file, which is created if there is none, with imports it needs."""
    draft, package = files.draft, files.project.package
    if draft.read(path) is None:
        draft.write(path, title.encode())
    try:
        for module, name in imports:
            file = files.python(path)
            if files.module(path) != module:
                draft.write(path, file.edited(file.add_import(module, name, package)))
        file = files.python(path)
    except CannotEdit as error:
        raise ConfigError(str(error), file=draft.name(path)) from error
    ending = file.line_ending
    whole = file.source.text.rstrip().decode()
    content = text if ending == "\n" else text.replace("\r\n", "\n").replace("\n", ending)
    draft.write(path, f"{whole}{ending * 3 if whole else ''}{content}".encode(file.source.encoding))


def prune_imports(files: ProjectFiles, path: Path, before: PythonFile) -> None:
    """Remove the imports of a file that it used before, and no longer uses."""
    data = files.draft.read(path)
    if data is None:
        return
    file = files.python(path)
    after, earlier = (used_names(_statements(one)) for one in (file, before))
    unused = [
        item
        for item in file.imports
        if item.local in earlier - after and item.alias.name != "*" and item.statement in file.source.tree.body
    ]
    edits = {id(item.statement): file.remove_import(item, unused) for item in unused}
    if edits:
        files.draft.write(path, file.edited(_without_gaps(file.source.text, edits.values())))


def _statements(file: PythonFile) -> Iterator[ast.stmt]:
    return (node for node in file.source.tree.body if not isinstance(node, ast.Import | ast.ImportFrom))


def _without_gaps(text: bytes, edits: Iterable[Edit]) -> list[Edit]:
    """Return removals of lines that also take one of the blank lines that would meet where a section was."""
    closed: list[Edit] = []
    for edit in sorted(edits):
        start, end = edit.start, edit.end
        if closed and not edit.text and closed[-1].end == start:
            start = closed.pop().start
        blank = re.compile(rb"(?:[ \t]*\r?\n)+" if start == 0 else rb"[ \t]*\r?\n").match(text, end)
        is_gap = start == 0 or re.search(rb"\n\r?\n\Z", text[:start]) is not None
        closed.append(Edit(start, blank.end() if blank and is_gap and not edit.text else end, edit.text))
    return closed


# -- references ------------------------------------------------------------------------------------------------------


def _follow(files: ProjectFiles, cls: str, old: str, new: str) -> None:
    """Change the imports and uses of a class that has moved to another module."""
    strings = ModuleMove(old, new, [cls], whole=False)
    package = files.project.package

    def edits(file: PythonFile) -> list[Edit]:
        if file.module in (old, new):
            return [*_own_import(file, cls, old, new)]
        direct = [item for item in file.imports if item.module == old and item.alias.name == cls]
        found = [*strings.string_edits(file)]
        for item in direct:
            if len(item.statement.names) == 1 and isinstance(item.statement, ast.ImportFrom):
                found.append(strings.module_edit(file, item.statement))
            else:
                local = f"{cls} as {item.alias.asname}" if item.alias.asname else cls
                found += [file.remove_import(item), *file.add_import(new, local, package)]
        uses = [node for node, full in file.dotted() if full == f"{old}.{cls}" and isinstance(node, ast.Attribute)]
        if uses and cls in file.names:
            raise CannotEdit(
                f"{file.place(uses[0])}: {cls} has another meaning in this file. Import it by its name first"
            )
        found += [Edit(*file.source.span(node), cls) for node in uses]
        return found + (file.add_import(new, cls, package) if uses else [])

    files.edit_python([cls], edits)
    dotted = [name.partition(".")[2] for name in (old, new)]

    def in_yaml(file: YamlFile) -> list[tuple[int, int, str]]:
        was, now = (f"{name}.{cls}" for name in dotted)
        found = [
            scalar_edit(file, node, new_suffix(node.value, f"_.{was}", f"_.{now}"))
            for place, node, is_key in file.scalars()
            if place == ("run", "task") and not is_key and f".{was}".endswith(f".{node.value}")
        ]
        return found + interpolation_edits(file.text, was, now)

    files.edit_yaml([cls], in_yaml)


def _own_import(file: PythonFile, cls: str, old: str, new: str) -> Iterator[Edit]:
    """Yield the removal of the import that the new module had of the class."""
    if file.module == new:
        for item in file.imports:
            if item.module == old and item.alias.name == cls:
                yield file.remove_import(item)


# -- configuration ---------------------------------------------------------------------------------------------------


def _move_blocks(files: ProjectFiles, module: str, target: str, cls: str) -> None:
    for layer, path in files.conf_files(module).items():
        block, text = cut_block(files, path, cls)
        if block is None:
            continue
        new = layer.joinpath(*target.split(".")).with_suffix(".yaml")
        files.draft.write(new, appended((files.draft.read(new) or b"").decode(), block).encode())
        files.draft.write(path, text.encode() if text.strip() else None)


def cut_block(files: ProjectFiles, path: Path, cls: str) -> tuple[str | None, str]:
    """Return the lines of a class in a YAML file, None if it has none, and the text without them."""
    try:
        file = files.yaml(path)
        blocks = file.blocks()
    except CannotEdit as error:
        raise ConfigError(str(error), file=files.draft.name(path)) from error
    own: Block | None = next((block for block in blocks if block.key == cls), None)
    if own is None:
        return None, file.text
    return appended(file.text[own.start : own.end], ""), file.text[: own.start] + file.text[own.end :]


# -- tests -----------------------------------------------------------------------------------------------------------


def tests_of(file: PythonFile, cls: str, others: Collection[str]) -> list[Definition]:
    """Return the test functions and classes of a file that use one task class, and none of the others."""
    found = []
    for node in file.source.tree.body:
        if isinstance(node, Definition) and node.name.lower().startswith("test"):
            names = used_names([node])
            if cls in names and names.isdisjoint(others):
                found.append(node)
    return found


def _move_tests(files: ProjectFiles, old: Path, new: Path, cls: str, others: Collection[str]) -> None:
    if files.draft.read(old) is None:
        return
    try:
        file = files.python(old)
        tests = tests_of(file, cls, others)
        moved = [*_used_definitions(file, tests), *tests]
        imports = [*imports_of(file, used_names(moved))]
    except CannotEdit as error:
        raise ConfigError(str(error), file=files.draft.name(old)) from error
    for node in moved:
        if _is_there(files, old, new, file, node):
            continue
        text = class_text(file, node) if isinstance(node, Definition) else file.code(node) + "\n"
        add_definition(files, new, text, imports, title=f'"""Tests of {cls}."""\n')
    remove_definitions(files, old, tests)


def _is_there(files: ProjectFiles, old: Path, new: Path, file: PythonFile, node: ast.stmt) -> bool:
    """Return whether the other test module has the same definition; raise `ConfigError` for another of its name."""
    if files.draft.read(new) is None:
        return False
    target = files.python(new)
    own = {name: other for name, other in definitions(file).items() if other is node}
    theirs = definitions(target)
    for name in own:
        if name in theirs and ast.dump(theirs[name]) != ast.dump(node):
            raise ConfigError(f"has another {name} than {files.draft.name(old)}", file=files.draft.name(new))
    return any(name in theirs for name in own)


def _used_definitions(file: PythonFile, tests: Iterable[Definition]) -> list[ast.stmt]:
    """Return the constants, fixtures and functions of a test module that some tests use, in their order."""
    own = definitions(file)
    needed: set[str] = set()
    names = used_names(tests)
    while new := {name for name in names if name in own} - needed:
        needed |= new
        names = used_names([own[name] for name in new])
    chosen = {id(own[name]) for name in needed}
    done = {id(test) for test in tests}
    return [node for node in file.source.tree.body if id(node) in chosen - done]


def remove_definitions(files: ProjectFiles, path: Path, nodes: Iterable[Definition]) -> None:
    """Remove definitions of a file, and the imports that only they have used."""
    file = files.python(path)
    edits = [Edit(*class_span(file, node), "") for node in nodes]
    if edits:
        files.draft.write(path, file.edited(edits))
        prune_imports(files, path, file)
