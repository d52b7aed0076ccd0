"""Python files come over with every name bound as before, and every other byte kept."""

from __future__ import annotations

import ast
import sys
import types

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kart_runtime.migrate import CannotMigrate, migrate_source

TWO = "import kart_runtime.gokart as gokart\nimport kart_runtime.gokart.target  # noqa: F401\n"

FORMS = [
    ("import gokart\n", "import kart_runtime.gokart as gokart\n"),
    ("import gokart", "import kart_runtime.gokart as gokart"),
    ("import gokart as g\n", "import kart_runtime.gokart as g\n"),
    ("import gokart.target as t\n", "import kart_runtime.gokart.target as t\n"),
    ("from gokart import build, run\n", "from kart_runtime.gokart import build, run\n"),
    ("from gokart import *\n", "from kart_runtime.gokart import *\n"),
    ("from gokart.x.y import z as w\n", "from kart_runtime.gokart.x.y import z as w\n"),
    (
        "from gokart.x import (  # why\n    a,\n    b,\n)\n",
        "from kart_runtime.gokart.x import (  # why\n    a,\n    b,\n)\n",
    ),
    ("from  gokart . x  import y\n", "from  kart_runtime.gokart . x  import y\n"),
    ("import os, gokart\n", "import os, kart_runtime.gokart as gokart\n"),
    (
        "import os, gokart.target, re\n",
        "import os, kart_runtime.gokart as gokart, kart_runtime.gokart.target, re\n",
    ),
    ("import gokart, gokart.target\n", "import kart_runtime.gokart as gokart, kart_runtime.gokart.target\n"),
    ("import gokart.target\n", TWO),
    ("import gokart\nimport gokart.target\n", TWO),
    ("import gokart\n\n# a comment\nimport gokart.target\n", TWO.replace("\n", "\n\n# a comment\n", 1)),
    (
        "import gokart.target  # type: ignore\n",
        "import kart_runtime.gokart as gokart\nimport kart_runtime.gokart.target  # type: ignore\n",
    ),
    ("import gokart.a\ngokart = 1\nimport gokart.b\n", None),
    ("import gokart.target; x = 1\n", "import kart_runtime.gokart as gokart, kart_runtime.gokart.target; x = 1\n"),
    ("if 1: import gokart.target\n", "if 1: import kart_runtime.gokart as gokart, kart_runtime.gokart.target\n"),
    ("def f():\n\timport gokart.target\n", "def f():\n\t" + TWO.replace("\n", "\n\t", 1)),
    (
        "if TYPE_CHECKING:\n    import gokart\nelse:\n    gokart = None\n",
        "if TYPE_CHECKING:\n    import kart_runtime.gokart as gokart\nelse:\n    gokart = None\n",
    ),
    (
        "try:\n    import gokart\nexcept ImportError:\n    gokart = None\n",
        "try:\n    import kart_runtime.gokart as gokart\nexcept ImportError:\n    gokart = None\n",
    ),
    ("with patch('gokart.t.f'): ...\n", "with patch('kart_runtime.gokart.t.f'): ...\n"),
    ('@mock.patch(r"""gokart.t""")\ndef f(): ...\n', '@mock.patch(r"""kart_runtime.gokart.t""")\ndef f(): ...\n'),
    ("mocker.patch(target='gokart.t.f')\n", "mocker.patch(target='kart_runtime.gokart.t.f')\n"),
    ("mock.patch.dict('gokart.t.D', {})\n", "mock.patch.dict('kart_runtime.gokart.t.D', {})\n"),
    ("monkeypatch.setattr('gokart.t.f', 1)\n", "monkeypatch.setattr('kart_runtime.gokart.t.f', 1)\n"),
    ("importlib.import_module('gokart')\n", "importlib.import_module('kart_runtime.gokart')\n"),
    ("import_module('.t', 'gokart')\n", "import_module('.t', 'kart_runtime.gokart')\n"),
    ("import_module('.t', package='gokart')\n", "import_module('.t', package='kart_runtime.gokart')\n"),
    ("patch(f'gokart.{name}')\n", "patch(f'kart_runtime.gokart.{name}')\n"),
    ("patch('gokart.' + name)\n", "patch('kart_runtime.gokart.' + name)\n"),
    ("patch('gokart.'\n  't.f')\n", "patch('kart_runtime.gokart.'\n  't.f')\n"),
]


@pytest.mark.parametrize(("written", "wanted"), [(a, b) for a, b in FORMS if b is not None])
def test_each_form_of_import_and_each_name_in_a_call_changes(written, wanted):
    assert migrate_source(written.encode()).data.decode() == wanted


@pytest.mark.parametrize(
    "written",
    [
        "from . import gokart\n",
        "from .gokart import x\n",
        "import gokartx\n",
        "import x.gokart\n",
        "import kart_runtime.gokart as gokart\n",
        "x = 'import gokart'\n",
        "# import gokart\n",
        "print('gokart.target')\n",
        "client.dict('gokart.x')\n",
        "patch('gokart')\n",
        "patch(other, 'gokart.x')\n",
        "patch(*'gokart.x')\n",
        "patch(b'gokart.x')\n",
        "patch('gokart' 'x.y')\n",
        "calls[0]('gokart.x')\n",
        "import_module(f'{gokart}.x')\n",
        "",
    ],
)
def test_everything_else_stays(written):
    assert migrate_source(written.encode()).data.decode() == written


def test_a_name_that_was_bound_again_in_between_is_bound_again():
    after = migrate_source(b"import gokart.a\ngokart = 1\nimport gokart.b\n").data.decode()
    assert after.count("import kart_runtime.gokart as gokart") == 2


def test_counts_and_what_stays_are_told():
    source = b"import gokart, os\nfrom gokart.x import y\npatch('gokart.a.b')\ngetLogger('gokart')\nx: 'gokart.A'\n"
    source += b"y = 'gokart.a b'\nz = '''\n    >>> import gokart\n'''\n"
    migrated = migrate_source(source)
    assert (migrated.imports, migrated.strings) == (2, 1)
    assert migrated.left == ((4, "'gokart'"), (7, "text that imports gokart"))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"\xef\xbb\xbfimport gokart\r\n", b"\xef\xbb\xbfimport kart_runtime.gokart as gokart\r\n"),
        (
            b"# coding: latin-1\r\nx = '\xe9'\r\nimport gokart.t\r\n",
            b"# coding: latin-1\r\nx = '\xe9'\r\n" + TWO.replace("target", "t").replace("\n", "\r\n").encode(),
        ),
        (b"x = 1\r\nimport gokart\ny = 2\r\n", b"x = 1\r\nimport kart_runtime.gokart as gokart\ny = 2\r\n"),
        (b"\f\nimport gokart\n\fx = 'a\f'\n", b"\f\nimport kart_runtime.gokart as gokart\n\fx = 'a\f'\n"),
        ("é = '雪'; import gokart  # ✓".encode(), "é = '雪'; import kart_runtime.gokart as gokart  # ✓".encode()),
    ],
)
def test_encodings_line_endings_and_form_feeds_stay(before, after):
    assert migrate_source(before).data == after


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (b"import gokart\nprint 'x'\n", "line 2"),
        (b"import gokart\n\0", "is not Python"),
        (b"import gokart\rx = 1\r", "has line endings other than"),
        (b"import gokart\nx = '\xff'\n", "cannot be read as Python text"),
        (b"# coding: klingon\nimport gokart\n", "klingon"),
        (b"# coding: utf-7\nx = '+AGE-'\nimport gokart\n", "would not give the same bytes"),
    ],
)
def test_what_cannot_be_read_is_refused(data, wanted):
    with pytest.raises(CannotMigrate, match=wanted):
        migrate_source(data)


def test_only_the_name_changes_and_every_other_byte_stays():
    source = b"import gokart\nfrom gokart import x\npatch('gokart.x')\nlog('gokart')\n"
    assert migrate_source(source).data.splitlines() == [
        b"import kart_runtime.gokart as gokart",
        b"from kart_runtime.gokart import x",
        b"patch('kart_runtime.gokart.x')",
        b"log('gokart')",
    ]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("from \\\n  gokart import x\n", "from \\\n  kart_runtime.gokart import x\n"),
        ("import \\\n  gokart\n", "import \\\n  kart_runtime.gokart as gokart\n"),
        ("patch('''gokart.x''' f'{y}')\n", "patch('''kart_runtime.gokart.x''' f'{y}')\n"),
        (
            "patch(\n    (\n        'gokart.x'\n    ),\n)\n",
            "patch(\n    (\n        'kart_runtime.gokart.x'\n    ),\n)\n",
        ),
        ("x = f'{patch(\"gokart.x\")}é'\n", "x = f'{patch(\"kart_runtime.gokart.x\")}é'\n"),
        (
            "match 1:\n  case 1:\n    import gokart\n    import gokart.x  # y\n",
            "match 1:\n  case 1:\n    import kart_runtime.gokart as gokart\n    import kart_runtime.gokart.x  # y\n",
        ),
        ("import gokart\nx = '\\d'\n", "import kart_runtime.gokart as gokart\nx = '\\d'\n"),
    ],
)
def test_names_are_changed_across_lines_and_in_any_block(written, expected):
    assert migrate_source(written.encode()).data.decode() == expected


def test_nesting_that_python_cannot_read_is_refused():
    with pytest.raises(CannotMigrate, match=r"nested too deeply|not Python"):
        migrate_source(b"import gokart\nx = " + b"(" * 5000 + b")" * 5000 + b"\n")


statements = st.sampled_from([written.rstrip("\n") for written, _ in FORMS] + ["x = 1", "# gokart", "", "'gokart.x'"])


@settings(deadline=None)
@given(st.lists(statements, max_size=8), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_a_second_time_nothing_changes_and_the_rest_is_kept(parts, ending, nested):
    text = "\n".join(parts) + "\n"
    if nested:
        text = "class C:\n    pass\n" + "".join(f"    {line}\n" if line else "\n" for line in text.splitlines())
    if "import *" in text and nested:
        return
    data = text.replace("\n", ending).encode()
    once = migrate_source(data).data
    ast.parse(once)
    assert migrate_source(once).data == once
    assert once.count(b"\n") - once.count(b"\r\n") == (0 if ending == "\r\n" else once.count(b"\n"))
    back = ast.unparse(_Back().visit(ast.parse(once)))
    assert _bound(back) == _bound(text)


class _Back(ast.NodeTransformer):
    """Drops the imports that only load a module; they bind kart's name and nothing of gokart's."""

    def visit_Import(self, node):
        node.names = [name for name in node.names if name.asname or not name.name.startswith("kart_runtime.")]
        return node if node.names else ast.Pass()


def _bound(text: str) -> list[str]:
    """Return what imports bind, in order, each once in a row."""
    names = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                whole = isinstance(node, ast.ImportFrom)
                names.append(alias.asname or (alias.name if whole else alias.name.partition(".")[0]))
    return list(dict.fromkeys(sorted(names)))


def test_a_migrated_import_binds_the_facade_and_loads_the_module(monkeypatch):
    import kart_runtime.gokart

    part = types.ModuleType("kart_runtime.gokart.part")
    part.value = 7
    monkeypatch.setitem(sys.modules, part.__name__, part)
    monkeypatch.setattr(kart_runtime.gokart, "part", part, raising=False)
    space: dict[str, object] = {}
    exec(migrate_source(b"import gokart.part\nfound = gokart.part.value, gokart.TaskOnKart\n").data, space)
    assert space["found"] == (7, kart_runtime.gokart.TaskOnKart)


def _without(*names):
    return lambda name: next((part for part in names if f"{name}.".startswith(f"{part}.")), "")


@pytest.mark.parametrize(
    "line",
    [
        "from gokart.x import a",
        "from gokart.x import *",
        "from gokart import x, b",
        "import gokart.x",
        "import gokart.x as y",
        "import os, gokart.x",
        "patch('gokart.x.f')",
    ],
)
def test_an_import_of_what_kart_has_not_stays_and_is_named(line):
    source = f"import gokart\n{line}\n"
    migrated = migrate_source(source.encode(), _without("gokart.x"))
    assert migrated.data.decode() == f"import kart_runtime.gokart as gokart\n{line}\n"
    assert (migrated.imports, migrated.strings, migrated.missing) == (1, 0, ((2, "gokart.x"),))


@pytest.mark.parametrize(
    ("source", "line", "name"),
    [
        ("import gokart\n\ngokart.x.f()\n", 3, "gokart.x"),
        ("import gokart as g\ng.x.C.y\n", 2, "gokart.x"),
        ("import gokart.a\ngokart.a.f\n", 2, "gokart.a.f"),
        ("import gokart.a as a\na.f.g\n", 2, "gokart.a.f"),
        ("from gokart import a\na.f\n", 2, "gokart.a.f"),
        ("from gokart.a import (\n    b,\n    f,\n)\n", 1, "gokart.a.f"),
    ],
)
def test_a_use_of_what_kart_has_not_is_named(source, line, name):
    assert migrate_source(source.encode(), _without("gokart.x", "gokart.a.f")).missing == ((line, name),)


def test_names_that_are_not_gokarts_are_not_looked_up():
    source = "import gokart, os\nfrom .gokart.x import a\nos.x.f\nself.gokart.x\n'gokart.x'.join([])\n"
    assert migrate_source(source.encode(), _without("gokart.x")).missing == ()
