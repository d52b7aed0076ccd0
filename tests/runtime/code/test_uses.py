"""Ways to use a definition: whichever it is, a change of it counts."""

# ruff: noqa: E501 - a project in a line

from __future__ import annotations

import textwrap
from typing import NamedTuple

import pytest

from kart_runtime.code import changed

HEAD = "import luigi\nfrom kart_runtime import TaskOnKart\n"


class Use(NamedTuple):
    name: str
    files: dict[str, str]
    edits: list[tuple[str, str, str, bool]]
    """File, text before and after, and whether it counts."""


def task(body: str, head: str = "", after: str = "") -> str:
    lines = textwrap.indent(textwrap.dedent(body).strip(), " " * 8)
    return f"{HEAD}{textwrap.dedent(head)}\n\nclass Train(TaskOnKart):\n    def run(self):\n{lines}\n{after}"


MODELS = "ALPHA = 1\nBETA = 1\n\ndef fit(*_):\n    return ALPHA\n\ndef other():\n    return BETA\n"
FIT, OTHER = ("lib/models.py", "ALPHA = 1", "ALPHA = 2"), ("lib/models.py", "BETA = 1", "BETA = 2")
ONLY_FIT = [(*FIT, True), (*OTHER, False)]
WHOLE = [(*FIT, True), (*OTHER, True)]


def uses(name: str, train: str, edits=ONLY_FIT, **files: str) -> Use:
    others = {f"lib/{file}.py": text for file, text in files.items()}
    return Use(name, {"tasks/train.py": train, "lib/models.py": MODELS, "lib/__init__.py": "", **others}, edits)


CASES = [
    uses("import in a function", task("from lib.models import fit\nfit()")),
    uses("module imported in a function", task("import lib.models\nlib.models.fit()")),
    uses("module as a name in a function", task("from lib import models as m\nm.fit()")),
    uses("dotted import", task("lib.models.fit()", "import lib.models")),
    uses("re-export", task("fit()", "from lib import fit"), __init__="from .models import fit\n"),
    uses("re-export of a module", task("m.fit()", "from lib import m"), __init__="from . import models as m\n"),
    uses("star through a package", task("fit()", "from lib import *"), __init__="from .models import *\n"),
    uses("package's attribute", task("lib.fit()", "import lib"), __init__="from .models import fit\n"),
    uses("default argument", task("1", "from lib import models\ndef helper(x=models.fit()):\n    return x", ""), [(*FIT, False)]),
    uses("used default argument", task("helper()", "from lib import models\ndef helper(x=models.fit()):\n    return x")),
    uses("lambda in a constant", task("F()", "from lib.models import fit\nF = lambda: fit()")),
    uses("table of functions", task("F['a']()", "from lib.models import fit\nF = {'a': fit}")),
    uses("partial", task("F()", "import functools\nfrom lib.models import fit\nF = functools.partial(fit)")),
    uses("comprehension", task("[fit() for fit in [fit]]", "from lib.models import fit")),
    uses("comprehension of a shadowed name", task("[x for fit in [1] for x in [fit]]", "from lib.models import fit"), [(*FIT, False)]),
    uses("nested function", task("def inner():\n    return fit()\ninner()", "from lib.models import fit")),
    uses("local of the same name", task("fit = 1\nself.dump(fit)", "from lib.models import fit"), [(*FIT, False)]),
    uses("conditional import", task("fit()", "try:\n    from lib.models import fit\nexcept ImportError:\n    fit = None")),
    uses("conditional definition", task("f()", "from lib import models\nif luigi:\n    f = models.fit\nelse:\n    f = None")),
    uses("tuple assignment", task("a()", "from lib import models\na, b = models.fit, 2")),
    uses("augmented assignment", task("A", "from lib import models\nA = 1\nA += models.fit()")),
    uses("loop", task("A", "from lib import models\nfor A in [models.fit()]:\n    pass")),
    uses("with", task("A", "import contextlib\nfrom lib import models\nwith contextlib.nullcontext(models.fit()) as A:\n    pass")),
    uses("walrus", task("A", "from lib import models\nB = (A := models.fit())")),
    uses("constructor of a helper class", task("H()", "from lib import models\nclass H:\n    def __init__(self):\n        models.fit()")),
    uses("attribute of a helper class", task("H.a", "from lib import models\nclass H:\n    a = models.fit()")),
    uses("base of a helper class", task("H().m()", "from lib.classes import Base\nclass H(Base):\n    pass"), classes="from lib import models\nclass Base:\n    def m(self):\n        return models.fit()\n"),
    uses("property", task("H().m", "from lib import models\nclass H:\n    @property\n    def m(self):\n        return models.fit()")),
    uses("operator", task("H() + 1", "from lib import models\nclass H:\n    def __add__(self, o):\n        return models.fit()")),
    uses("metaclass", task("H()", "from lib import models\nclass M(type):\n    def __call__(cls):\n        return models.fit()\nclass H(metaclass=M):\n    pass")),
    uses("method by name", task("getattr(H(), 'm')()", "from lib import models\nclass H:\n    def m(self):\n        return models.fit()")),
    uses("method by a name put together", task("k = 'm'\ngetattr(self, f'_{k}')()", "from lib import models", "    def _m(self):\n        return models.fit()\n")),
    uses("decorator", task("f()", "from lib import models\ndef d(f):\n    return models.fit\n@d\ndef f():\n    pass")),
    uses("decorator with arguments", task("f()", "import functools\nfrom lib import models\n@functools.lru_cache(models.fit())\ndef f():\n    pass")),
    uses("decorated method", task("self.m()", "from lib import models", "    @models.fit\n    def m(self):\n        pass\n")),
    uses("monkeypatch in the module", task("models.other()", "from lib import models\nfrom lib import more\nmodels.other = more.fit"), [("lib/more.py", "return 1", "return 2", True)], more="def fit():\n    return 1\n"),
    uses("attribute set on the class", task("self.a", "from lib import models", "Train.a = models.fit()\n")),
    uses("table filled by a loop", task("T", "from lib import models\nT = {}\nfor k in 'ab':\n    T[k] = models.fit()")),
    uses("table filled by a call", task("T", "from lib import models\nT = {}\ndef fill(t):\n    t['a'] = models.fit()\nfill(T)")),
    uses("table filled by a function", task("T", "from lib import models\nT = {}\ndef fill():\n    T['a'] = models.fit()\nfill()")),
    uses("global set by a function", task("T", "from lib import models\nT = 0\ndef fill():\n    global T\n    T = models.fit()\nfill()")),
    uses("registry", task("R['f']()", "from lib.registry import R\nimport lib.entries"), registry="R = {}\ndef register(f):\n    R[f.__name__] = f\n    return f\n", entries="from lib.registry import register\nfrom lib import models\n@register\ndef f():\n    return models.fit()\ndef g():\n    return models.other()\n"),
    uses("registry object", task("R.get('f')", "from lib.registry import R\nimport lib.entries"), registry="class Registry:\n    def __init__(self):\n        self.known = {}\n    def register(self, f):\n        self.known[f.__name__] = f\n        return f\n    def get(self, name):\n        return self.known[name]\nR = Registry()\n", entries="from lib.registry import R\nfrom lib import models\n@R.register\ndef f():\n    return models.fit()\n"),
    uses("registry of subclasses", task("Base.known['F']()", "from lib.registry import Base\nimport lib.entries"), registry="class Base:\n    known = {}\n    def __init_subclass__(cls):\n        cls.known[cls.__name__] = cls\n", entries="from lib.registry import Base\nfrom lib import models\nclass F(Base):\n    def __init__(self):\n        models.fit()\n"),
    uses("subclasses asked for", task("[k() for k in Base.__subclasses__()]", "from lib.registry import Base\nimport lib.entries"), registry="class Base:\n    pass\n", entries="from lib.registry import Base\nfrom lib import models\nclass F(Base):\n    def __init__(self):\n        models.fit()\n"),
    uses("singledispatch", task("f(1)", "import lib.entries\nfrom lib.registry import f"), registry="import functools\n@functools.singledispatch\ndef f(x):\n    return 0\n", entries="from lib.registry import f\nfrom lib import models\n@f.register\ndef _(x: int):\n    return models.fit()\n"),
    uses("name of a function of a module", task("getattr(models, 'f' + 'it')()", "from lib import models"), WHOLE),
    uses("module as a value", task("use(models)", "from lib import models\ndef use(m):\n    return m.fit()"), WHOLE),
    uses("globals", task("globals()['f' + 'it']()", "from lib.models import fit"), ONLY_FIT),
    uses("exec", task("exec('f' + 'it()')", "from lib.models import fit"), ONLY_FIT),
    uses("import by name", task("import importlib\nimportlib.import_module('lib.models').fit()"), WHOLE),
    uses("import by a name put together", task("importlib.import_module(f'lib.{self.x}').fit()", "import importlib"), WHOLE),
    uses("import by a constant", task("importlib.import_module(NAME).fit()", "import importlib\nNAME = 'lib.models'"), WHOLE),
    uses("relative import by name", task("importlib.import_module('.models', 'lib').fit()", "import importlib"), WHOLE),
    uses("module with __getattr__", task("lib.fit()", "import lib"), WHOLE, __init__="import importlib\n\ndef __getattr__(name):\n    return getattr(importlib.import_module('lib.models'), name)\n"),
    uses("method of another task's class", task("Other.helper()", "from lib import models\nclass Other(TaskOnKart):\n    @staticmethod\n    def helper():\n        return models.fit()\n    def run(self):\n        models.other()")),
    uses("method of another task", task("self.o().helper()", "from lib import models\nclass Other(TaskOnKart):\n    def helper(self):\n        return models.fit()\n    def run(self):\n        models.other()", "    def o(self):\n        return Other()\n")),
    uses("another task", task("self.load(Other())", "from lib import models\nclass Other(TaskOnKart):\n    def run(self):\n        models.fit()"), [(*FIT, False)]),
    uses("task in a table", task("self.load(T['o']())", "from lib import models\nclass Other(TaskOnKart):\n    def run(self):\n        models.fit()\nT = {'o': Other}"), [(*FIT, False)]),
    uses("configuration class", task("Cfg().n", "class Cfg(luigi.Config):\n    n = luigi.IntParameter(default=3)"), [("tasks/train.py", "default=3", "default=4", True)]),
    uses("data class", task("D(1)", "import dataclasses\n@dataclasses.dataclass\nclass D:\n    a: int\n    b: int = 2\n"), [("tasks/train.py", "b: int = 2", "b: float = 2", False), ("tasks/train.py", "    a: int\n", "    z: int\n    a: int\n", True), ("tasks/train.py", "b: int = 2", "b = 2", True)]),
    uses("named tuple", task("D(1)", "from typing import NamedTuple\nclass D(NamedTuple):\n    a: int\n    b: int = 2\n"), [("tasks/train.py", "    a: int\n", "    z: int\n    a: int\n", True)]),
    uses("enum", task("E(1)", "import enum\nclass E(enum.Enum):\n    A = 1\n    B = 2\n"), [("tasks/train.py", "B = 2", "B = 3", True)]),
    uses("schema", task("S", "import pandera.pandas as pa\nclass S(pa.DataFrameModel):\n    a: int\n"), [("tasks/train.py", "a: int", "a: float", True)]),
    uses("class of a library", task("json.dumps(1, cls=E)", "import json\nfrom lib import models\nclass E(json.JSONEncoder):\n    def default(self, o):\n        return models.fit()")),
    uses("parameter of one's own", f"{HEAD}from lib import models\nclass P(luigi.Parameter):\n    def parse(self, x):\n        return models.fit()\nclass Train(TaskOnKart):\n    p = P(default=1)\n"),
    uses("hook of the engine", task("1", "from lib import models", "    def on_success(self):\n        models.fit()\n")),
    uses("output", task("1", "from lib import models", "    def output(self):\n        return self.make_target(models.fit())\n")),
    uses("file of the module only", task("1", "import lib.models\nfrom lib import models, models as m"), [(*FIT, False)]),
]  # fmt: skip


@pytest.mark.parametrize("use", CASES, ids=[case.name for case in CASES])
def test_uses(project, use):
    project.write(use.files)
    before = project.code()
    assert before.fingerprint
    for file, old, new, counts in use.edits:
        project.edit(file, old, new)
        after = project.code()
        assert bool(changed(before.definitions, after.definitions)) is counts, (file, new, dict(before.definitions))
        assert (after.fingerprint != before.fingerprint) is counts
        project.edit(file, new, old)
    assert project.code() == before
