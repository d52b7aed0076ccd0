"""`KEY=VALUE`: what it means, and when it means nothing."""

from __future__ import annotations

import luigi
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kart_runtime.errors import ConfigError
from kart_runtime.project import open_project

NUMBERS = "conf/base/tasks/numbers.yaml"


def test_the_command_line_comes_last_with_any_unique_ending_of_the_name(small_project):
    small_project()
    for key in ("Total.weight", "numbers.Total.weight", "tasks.numbers.Total.weight"):
        with open_project(overrides=[f"{key}=3"]) as session:
            assert session.task("Total")().weight == 3.0
            assert session.origins["tasks.numbers.Total.weight"] == "command line"
    assert session.origins["tasks.numbers.Numbers.size"] == f"{NUMBERS}:3"
    assert session.layers[-1] == "command line"


def test_the_last_of_two_overrides_counts(small_project):
    small_project()
    with open_project(overrides=["Total.weight=3", "Total.weight=4"]) as session:
        assert session.task("Total")().weight == 4.0


def test_text_of_the_command_line_stays_as_typed_where_text_is_wanted(small_project):
    small_project()
    with open_project(overrides=["Total.label=1.10", "Total.options={a: [1]}"]) as session:
        total = session.task("Total")()
        assert total.label == "1.10"
        assert total.options["a"] == (1,)


@pytest.mark.parametrize(
    ("override", "wanted"),
    [
        ("Total.weight", "command line: 'Total.weight' has no value; write Total.weight=null for null"),
        ("Total.weight=", "command line: 'Total.weight=' sets no value; write Total.weight=null for null"),
        ("Total.weight= ", "'Total.weight=' sets no value"),
        ("=3", "'=3' is not an override (expected KEY=VALUE)"),
        ("Total..weight=3", "is not an override"),
        ("Total.weigth=3", "command line: tasks.numbers.Total.weigth: Total has no parameter 'weigth'"),
        ("Total.weight=deep", "command line: tasks.numbers.Total.weight: expected float, got str 'deep'"),
        ("Totl.weight=3", "command line: Totl.weight: unknown task or section Totl. Did you mean 'Total'?"),
        ("rum.seed=3", "unknown task or section rum. Did you mean 'run'?"),
        ("run.sed=3", "command line: run.sed: unknown setting"),
        ("weight=3", "weight: the key lacks its task or section; write Total.weight (expected Task.parameter=value)"),
        ("seed=3", "the key lacks its task or section; write run.seed"),
        ("nothing=3", "no task or section has nothing"),
        ("Total=3", "tasks.numbers.Total: is not a map"),
        ("Total.weight.deeper=3", "expected float, got a map"),
        ("Total.options={a: }", "command line: tasks.numbers.Total.options.a: has no value"),
    ],
)
def test_an_override_that_cannot_be_used_is_refused(small_project, override, wanted, refused):
    small_project()
    found = refused(overrides=[override])
    assert len(found) == 1
    assert wanted in found[0]


TASKS = """
    import luigi
    from kart_runtime import TaskOnKart


    class Texts(TaskOnKart[str]):
        plain = luigi.Parameter(default="x")
        strict = luigi.StrParameter(default="x")
        optional = luigi.OptionalParameter(default=None)
        path = luigi.PathParameter(default="x")
        choice = luigi.ChoiceParameter(choices=["a: b", "{x}", "1"], default="1")
        day = luigi.DateParameter(default=None)
        names = luigi.ListParameter(default=["a", "b"])
        sizes = luigi.ListParameter(default=[1, [2, 3]])
        map = luigi.DictParameter(default={"a": 1, "b": {"c": 2, "d": 3}, "e.f": 4})


    class Below(Texts):
        pass
    """
FILES = {"src/PKG/tasks/texts.py": TASKS, "conf/base/tasks/texts.yaml": "# none\n", "tests/tasks/test_texts.py": ""}
TYPED = [
    "v1 # tag", "Note: draft", "key:", "{x}", "{a: b}", "[a, b]", "!important", "&x y", "*x", "%x", "@x", "`x`",
    "--- x", "a\nb", "? x", "-", "- a", "null", "~", "yes", "true", "1e3", "0x10", "010", "1.10", "2026-01-01", "12:30",
    "  blanks  ", " ", "a = b", "'quoted'", '"quoted"', 'say "x"', "it's", "ünïcode ✓", "|", ">", "#", "a\\b",
    "$x", "$(x)",    "http://x:1/y", "C:\\x", "\t", "<<", "=", "x,y", "...", "a: ${run.task} # b",
]  # fmt: skip


@pytest.mark.parametrize("typed", TYPED)
def test_text_is_taken_as_typed(small_project, typed):
    small_project(FILES)
    overrides = [f"Texts.{name}={typed}" for name in ("plain", "strict", "path", "names.1")]
    overrides += [f"run.workspace=/x/{typed}"]
    meant = typed.replace("${run.task}", "RunAll")
    with open_project(overrides=overrides) as session:
        task = session.task("Texts")()
        assert (task.plain, task.strict, str(task.path)) == (meant, meant, str(type(task.path)(meant)))
        assert task.names == ("a", None if typed == "null" else meant)
        assert task.workspace_directory == f"/x/{meant}"


def test_an_optional_text_can_be_null_or_the_word(small_project):
    small_project(FILES)
    for typed, value in (("null", None), ('"null"', "null"), ("~", "~")):
        with open_project(overrides=[f"Texts.optional={typed}"]) as session:
            assert session.task("Texts")().optional == value
    for typed in ('""', "''"):  # the unique id could not tell it from null
        with pytest.raises(ConfigError, match="Write None"):
            open_project(overrides=[f"Texts.optional={typed}"])


def test_choices_and_dates_are_texts_too(small_project):
    small_project(FILES)
    for choice in ("a: b", "{x}", "1"):
        with open_project(overrides=[f"Texts.choice={choice}", "Texts.day= 2026-01-31 "]) as session:
            task = session.task("Texts")()
            assert (task.choice, str(task.day)) == (choice, "2026-01-31")


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.text(min_size=1).filter(lambda text: "$" not in text and text not in {"???", '""', "''"}))
def test_any_text_is_taken_as_typed(texts_session, text):
    assert texts_session(f"Texts.plain={text}").plain == text


@pytest.fixture
def texts_session(small_project):
    small_project(FILES)

    def task(*overrides):
        with open_project(overrides=overrides) as session:
            return session.task("Texts")()

    return task


def test_what_a_text_was_typed_as_is_seen_by_a_reference(small_project):
    small_project({**FILES, "conf/base/tasks/texts.yaml": "Texts:\n  plain: x\n  strict: v${.plain}\n"})
    with open_project(overrides=["Texts.plain=1.10 # x"]) as session:
        assert session.task("Texts")().strict == "v1.10 # x"


def plain_value(value):
    return luigi.DictParameter().serialize(value)


@pytest.mark.parametrize(
    ("overrides", "name", "value"),
    [
        (["names.0=z"], "names", ["z", "b"]),
        (["names.1=5"], "names", ["a", "5"]),
        (['names.1="5"'], "names", ["a", '"5"']),
        (["sizes.0=5", "sizes.1.0=7"], "sizes", [5, [7, 3]]),
        (["sizes.1=[9]"], "sizes", [1, [9]]),
        (["sizes.0=v1 # x"], "sizes", ["v1 # x", [2, 3]]),
        (["map.a=9"], "map", {"a": 9, "b": {"c": 2, "d": 3}, "e.f": 4}),
        (["map.b.c=9"], "map", {"a": 1, "b": {"c": 9, "d": 3}, "e.f": 4}),
        (["map.e.f=9"], "map", {"a": 1, "b": {"c": 2, "d": 3}, "e.f": 9}),
        (["map.new=a: b # c"], "map", {"a": 1, "b": {"c": 2, "d": 3}, "e.f": 4, "new": "a: b # c"}),
        (["map.a=null"], "map", {"a": None, "b": {"c": 2, "d": 3}, "e.f": 4}),
        (["map={a: 2}"], "map", {"a": 2}),
        (["map={}"], "map", {}),
        (["map={a: 2}", "map.b=3"], "map", {"a": 2, "b": 3}),
        (["map.b=3", "map={a: 2}"], "map", {"a": 2}),
    ],
)
@pytest.mark.parametrize("where", ["code", "base class", "yaml"])
def test_one_entry_is_replaced_or_all_of_it(small_project, overrides, name, value, where):
    values = "names: [a, b]\n  sizes: [1, [2, 3]]\n  map: {a: 1, b: {c: 2, d: 3}, e.f: 4}\n"
    yaml = {"code": "# none\n", "base class": f"Texts:\n  {values}", "yaml": f"Below:\n  {values}"}[where]
    small_project({**FILES, "conf/base/tasks/texts.yaml": yaml})
    with open_project(overrides=[f"Below.{override}" for override in overrides]) as session:
        found = getattr(session.task("Below")(), name)
    assert plain_value(found) == plain_value(value)


def test_one_resource_is_replaced_or_all_of_them(small_project):
    small_project({"conf/base/run.yaml": "resources: {gpu: 1, memory: 8}\n"})
    assert open_project(overrides=["run.resources.gpu=2"]).settings.run.resources == {"gpu": 2, "memory": 8}
    assert open_project(overrides=["run.resources={gpu: 2}"]).settings.run.resources == {"gpu": 2}


@pytest.mark.parametrize(
    ("override", "wanted"),
    [
        (
            "names.2=z",
            "tasks.texts.Texts.names.2: 2 is not an index of the list, which has 2 elements (expected 0 to 1)",
        ),
        ("names.-1=z", "-1 is not an index of the list, which has 2 elements"),
        ("names.first=z", "first is not an index of the list"),
        ("sizes.1.5=z", "5 is not an index of the list, which has 2 elements"),
    ],
)
def test_an_entry_that_is_not_there_is_refused(small_project, override, wanted, refused):
    small_project(FILES)
    (found,) = refused(overrides=[f"Texts.{override}"])
    assert wanted in found


def test_a_whole_task_is_set_parameter_by_parameter(small_project):
    small_project({**FILES, "conf/base/tasks/texts.yaml": "Texts: {plain: y, map: {a: 1}}\n"})
    with open_project(overrides=["Texts={map: {b: 2}}"]) as session:
        task = session.task("Texts")()
        assert (task.plain, dict(task.map)) == ("y", {"b": 2})
