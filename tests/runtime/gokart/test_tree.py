"""What is told of a pipeline is right, in gokart's formats, at any depth, and with tasks of luigi's among it."""

from __future__ import annotations

import copy
import itertools
import logging
import pickle
import subprocess
import sys
from pathlib import Path

import luigi
import pytest

from kart_runtime import ListTaskInstanceParameter, TaskInstanceParameter, TaskOnKart, build
from kart_runtime.errors import ConfigError, CyclicDependency, KartError, NotATask
from kart_runtime.gokart import info as gokart_info
from kart_runtime.gokart.tree import (
    NotAPickleFile,
    RequiredTask,
    TaskDumpConfig,
    TaskDumpMode,
    TaskDumpOutputType,
    TaskInfo,
    dump_task_info_table,
    dump_task_info_tree,
    make_requires_info,
    make_task_info_as_table,
    make_task_info_as_tree_str,
    make_task_info_tree,
    make_tree_info,
    process_task_info,
    table_rows,
    task_info_formatter,
    tree_info,
    tree_lines,
    tree_text,
)
from kart_runtime.gokart.tree import task_info as gokart_tree

COLUMNS = [
    "name",
    "unique_id",
    "output_paths",
    "params",
    "processing_time",
    "is_complete",
    "task_log",
    "requires",
]
asked = []


class Sub(TaskOnKart[str]):
    task_namespace = "some.namespace"
    param = luigi.IntParameter(default=2)

    def complete(self):
        asked.append(self)
        return super().complete()

    def output(self):
        return self.make_target("sub_task.txt")

    def run(self):
        self.task_log["seen"] = self.param
        self.dump("done")


class Task(TaskOnKart[str]):
    param = luigi.IntParameter(default=1)
    sub = TaskInstanceParameter(default=Sub())

    def requires(self):
        return self.sub

    def output(self):
        return self.make_target("task.txt")

    def run(self):
        self.dump("done")


class Both(TaskOnKart[str]):
    sub1 = TaskInstanceParameter()
    sub2 = TaskInstanceParameter()

    def run(self):
        self.dump("done")


class Named(TaskOnKart[str]):
    def requires(self):
        return {"a": Sub(param=1), "rest": [Task(), (Sub(param=3),)]}


class Chain(TaskOnKart[int]):
    number = luigi.IntParameter()

    def requires(self):
        return Chain(number=self.number - 1) if self.number else []


class Diamond(TaskOnKart[int]):
    """Each level requires the one below twice: as many paths as 2 to the power of the depth."""

    level = luigi.IntParameter()

    def complete(self):
        asked.append(self)
        return False

    def requires(self):
        return [Diamond(level=self.level - 1), Diamond(level=self.level - 1)] if self.level else []


class Outside(luigi.ExternalTask):
    task_namespace = "out"
    day = luigi.Parameter(default="monday")
    token = luigi.Parameter(default="hidden", visibility=luigi.parameter.ParameterVisibility.PRIVATE)

    def output(self):
        return luigi.LocalTarget("outside.txt")


class Group(luigi.WrapperTask):
    def requires(self):
        yield Outside()


class Silent(luigi.Task):
    """Neither outputs nor complete(), of which luigi warns."""


class OnLuigi(TaskOnKart[str]):
    def requires(self):
        return {"group": Group(), "silent": Silent()}


class Several(TaskOnKart[str]):
    parts = ListTaskInstanceParameter(default=[Sub(param=5), Sub(param=6)])


@pytest.fixture(autouse=True)
def _forget():
    asked.clear()


def both():
    return Both(sub1=Task(param=1, sub=Sub(param=2)), sub2=Task(param=1, sub=Sub(param=2)))


def ids(*tasks):
    return [task.make_unique_id() for task in tasks]


# -- tree ------------------------------------------------------------------------------------------------------------


def test_a_pending_and_a_complete_tree():
    task = Task()
    one, two = ids(task, task.sub)
    assert make_task_info_as_tree_str(task) == f"\n└─-(PENDING) Task[{one}]\n   └─-(PENDING) Sub[{two}]"
    build(task.sub)
    assert make_task_info_as_tree_str(task) == f"\n└─-(PENDING) Task[{one}]\n   └─-(COMPLETE) Sub[{two}]"
    build(task)
    assert make_task_info_as_tree_str(task) == f"\n└─-(COMPLETE) Task[{one}]\n   └─-(COMPLETE) Sub[{two}]"


def test_a_task_that_was_shown_is_cut_short():
    root = both()
    one, two, three = ids(root, root.sub1, root.sub1.sub)
    assert make_task_info_as_tree_str(root) == (
        f"\n└─-(PENDING) Both[{one}]"
        f"\n   |--(PENDING) Task[{two}]"
        f"\n   |  └─-(PENDING) Sub[{three}]"
        f"\n   └─-(PENDING) Task[{two}]"
        "\n      └─- ..."
    )


@pytest.mark.parametrize("options", [{"abbr": False}, {"compress": False}])
def test_a_tree_that_is_not_cut_short(options):
    root = both()
    one, two, three = ids(root, root.sub1, root.sub1.sub)
    assert make_tree_info(root, **options) == (
        f"\n└─-(PENDING) Both[{one}]"
        f"\n   |--(PENDING) Task[{two}]"
        f"\n   |  └─-(PENDING) Sub[{three}]"
        f"\n   └─-(PENDING) Task[{two}]"
        f"\n      └─-(PENDING) Sub[{three}]"
    )


def test_a_requirement_that_is_listed_twice_is_shown_twice():
    (top, bottom) = ids(Diamond(level=1), Diamond(level=0))
    assert make_task_info_as_tree_str(Diamond(level=1)) == (
        f"\n└─-(PENDING) Diamond[{top}]\n   |--(PENDING) Diamond[{bottom}]"
        f"\n   └─-(PENDING) Diamond[{bottom}]\n      └─- ..."
    )


def test_details_are_shown_once():
    build(both())
    lines = make_task_info_as_tree_str(both(), details=True).splitlines()
    sub = Sub(param=2)
    assert lines[3] == (
        f"   |  └─-(COMPLETE) Sub[{sub.make_unique_id()}](parameter={{'param': '2'}}, "
        f"output=['./resources/sub_task_{sub.make_unique_id()}.txt'], "
        f"time={sub.get_processing_time()}s, task_log={sub.get_task_log()})"
    )
    assert lines[4].endswith("]")
    assert lines[5] == "      └─- ..."


@pytest.mark.parametrize("names", [["Task"], ("Task",), {"Task", "Unknown"}])
def test_ignored_tasks_are_left_out_with_what_only_they_require(names):
    one = both().make_unique_id()
    assert make_task_info_as_tree_str(both(), ignore_task_names=names) == f"\n└─-(PENDING) Both[{one}]"
    assert asked == []


def test_an_ignored_task_stays_required_and_the_root_is_shown_always():
    info = make_task_info_tree(Task(), ignore_task_names=["Task", "Sub"])
    assert info.name == "Task"
    assert info.children_task_infos == []
    assert info.requires == RequiredTask("Sub", Sub().make_unique_id())


def test_the_older_form_takes_its_arguments_by_place():
    expected = make_task_info_as_tree_str(both(), details=True, abbr=False, ignore_task_names=["Sub"])
    assert make_tree_info(both(), "  ", False, True, False, set(), ["Sub"]) == expected
    assert "Sub[" not in expected


def test_the_rest_of_a_tree_can_be_drawn_into_another():
    info = make_task_info_tree(both())
    visited = {info.children_task_infos[0].get_task_id()}
    title = info.get_task_title()
    child = info.children_task_infos[0].get_task_title()
    assert tree_text(info, ">", False, False, True, visited) == (
        f"\n>|--{title}\n>|  |--{child}\n>|  |  └─- ...\n>|  └─-{child}\n>|     └─- ..."
    )
    assert info.get_task_id() in visited


# -- objects ---------------------------------------------------------------------------------------------------------


def test_each_task_of_a_diamond_is_asked_once_and_is_one_object():
    info = make_task_info_tree(Diamond(level=40))
    assert len(asked) == len(set(asked)) == 41
    assert info.children_task_infos[0] is info.children_task_infos[1]
    assert len(list(tree_lines(info))) == 1 + 40 * 3
    assert len(table_rows(info)) == 41
    assert pickle.loads(pickle.dumps(info)) == info


def test_what_is_known_of_a_task():
    build(Task())
    info = make_task_info_tree(Task())
    (child,) = info.children_task_infos
    sub = Sub()
    assert info.params == {"param": "1", "sub": f"Sub-{sub.make_unique_id()}"}
    assert info.get_task_id() == f"Task_{Task().make_unique_id()}"
    assert info.requires == RequiredTask("Sub", sub.make_unique_id())
    assert child == TaskInfo(
        "Sub",
        sub.make_unique_id(),
        [sub.output().path()],
        {"param": "2"},
        f"{sub.get_processing_time()}s",
        "COMPLETE",
        sub.get_task_log(),
        [],
        [],
    )
    assert child.task_log["seen"] == 2
    assert list(child.task_info_dict()) == COLUMNS


def test_a_task_that_has_not_run():
    info = make_task_info_tree(Sub(param=9))
    assert (info.is_complete, info.processing_time, info.task_log) == ("PENDING", "unknown", {})


def test_requirements_keep_their_form():
    info = make_task_info_tree(Named())
    assert info.requires == {
        "a": RequiredTask("Sub", Sub(param=1).make_unique_id()),
        "rest": [RequiredTask("Task", Task().make_unique_id()), [RequiredTask("Sub", Sub(param=3).make_unique_id())]],
    }
    assert [child.params["param"] for child in info.children_task_infos] == ["1", "1", "3"]
    assert [child.params["param"] for child in make_task_info_tree(Several()).children_task_infos] == ["5", "6"]


def test_make_requires_info():
    expected = RequiredTask("Sub", Sub().make_unique_id())
    assert make_requires_info(Sub()) == expected
    assert make_requires_info(Sub() for _ in range(2)) == [expected, expected]
    assert make_requires_info(None) == []
    for wrong in ([1, 2], {"a": "text"}, Sub):
        with pytest.raises(NotATask):
            make_requires_info(wrong)


def test_a_cache_is_used_and_extended():
    cache = {}
    first = make_task_info_tree(Task(), cache=cache)
    assert make_task_info_tree(Task(param=7), cache=cache).children_task_infos[0] is first.children_task_infos[0]
    assert len(cache) == 3
    build(Sub())
    assert make_task_info_tree(Sub(), cache=cache) is not first.children_task_infos[0]


def test_something_else_than_a_task():
    with pytest.raises(NotATask, match=r"make_task_info_tree\(\)"):
        make_task_info_tree("Task")


class Circle(TaskOnKart[int]):
    number = luigi.IntParameter()

    def requires(self):
        return Circle(number=(self.number + 1) % 3)


def test_a_circle():
    with pytest.raises(CyclicDependency):
        make_task_info_as_tree_str(Circle(number=0))


def test_objects_compare_by_value_and_are_not_hashable():
    one, another = make_task_info_tree(both()), make_task_info_tree(both())
    assert one == another
    assert one != "text"
    another.children_task_infos[0].children_task_infos[0].is_complete = "COMPLETE"
    assert one != another
    another.children_task_infos[0].children_task_infos.clear()
    assert one != another
    with pytest.raises(TypeError, match="unhashable"):
        hash(one)


# -- plain tasks of luigi --------------------------------------------------------------------------------------------


def test_plain_luigi_tasks_are_shown_by_family_and_task_id():
    root = OnLuigi()
    expected = (
        "\n└─-(PENDING) OnLuigi[{}]\n   |--({}) Group[{}]\n   |  └─-({}) out.Outside[{}]\n   └─-(PENDING) Silent[{}]"
    )
    group, outside, silent = Group().task_id, Outside().task_id, Silent().task_id
    shown = expected.format(root.make_unique_id(), "PENDING", group, "PENDING", outside, silent)
    assert make_task_info_as_tree_str(root) == shown
    Path("outside.txt").touch()
    shown = expected.format(root.make_unique_id(), "COMPLETE", group, "COMPLETE", outside, silent)
    assert make_task_info_as_tree_str(root) == shown


def test_what_is_known_of_a_plain_luigi_task():
    info = make_task_info_tree(OnLuigi())
    group, silent = info.children_task_infos
    (outside,) = group.children_task_infos
    assert info.requires["group"] == RequiredTask("Group", Group().task_id)
    assert group.requires == [RequiredTask("out.Outside", Outside().task_id)]
    assert (outside.params, outside.output_paths) == ({"day": "monday"}, ["outside.txt"])
    assert (silent.processing_time, silent.task_log, silent.requires) == ("unknown", {}, [])


@pytest.mark.parametrize("name", ["Outside", "out.Outside"])
def test_a_plain_luigi_task_can_be_ignored_and_be_the_root(name):
    (group,) = make_task_info_tree(OnLuigi(), ["Silent", name]).children_task_infos
    assert group.children_task_infos == []
    assert make_task_info_as_tree_str(Outside()) == f"\n└─-(PENDING) out.Outside[{Outside().task_id}]"
    dump_task_info_tree(Outside(), "outside.pkl")
    assert Path(f"outside_{Outside().task_id}.pkl").exists()


# -- depth -----------------------------------------------------------------------------------------------------------


def test_a_chain_of_20_000_tasks():
    task = Chain(number=20_000)
    info = make_task_info_tree(task)
    assert len(table_rows(info)) == 20_001
    dump_task_info_tree(task, "chain.pkl", use_unique_id=False)
    loaded = pickle.loads(Path("chain.pkl").read_bytes())
    assert loaded == info == copy.deepcopy(info)
    assert repr(loaded).startswith("TaskInfo(name='Chain'")
    for abbr in (True, False):  # the whole text of 600 MB would only test the memory
        last = list(itertools.islice(tree_lines(loaded, abbr=abbr), 5_000))[-1]
        assert last == f"{'   ' * 4_999}└─-(PENDING) Chain[{Chain(number=15_001).make_unique_id()}]"


@pytest.mark.parametrize("abbr", [True, False])
def test_the_text_of_a_chain_that_is_deeper_than_python_recurses(abbr):
    assert make_task_info_as_tree_str(Chain(number=1_500), abbr=abbr).count("\n") == 1_501


# -- table and files -------------------------------------------------------------------------------------------------


def test_the_table():
    pytest.importorskip("pandas")
    table = make_task_info_as_table(both())
    assert list(table.columns) == COLUMNS
    assert list(table["name"]) == ["Both", "Task", "Sub"]
    assert list(make_task_info_as_table(both(), ignore_task_names=["Sub"])["name"]) == ["Both", "Task"]


def test_the_table_in_files():
    pd = pytest.importorskip("pandas")
    task = Named()
    dump_task_info_table(task, "out/table.csv", ignore_task_names=["Task"])
    read = pd.read_csv(f"out/table_{task.make_unique_id()}.csv")
    assert list(read["name"]) == ["Named", "Sub", "Sub"]
    dump_task_info_table(task, "out/table.pkl")
    stored = pickle.loads(Path(f"out/table_{task.make_unique_id()}.pkl").read_bytes())
    pd.testing.assert_frame_equal(stored, make_task_info_as_table(task))


def test_the_tree_in_a_file():
    task = both()
    dump_task_info_tree(task, "out/tree.pkl", ignore_task_names=["Sub"])
    loaded = pickle.loads(Path(f"out/tree_{task.make_unique_id()}.pkl").read_bytes())
    assert loaded == make_task_info_tree(task, ["Sub"])
    assert loaded.children_task_infos[0] is loaded.children_task_infos[1]
    assert loaded.children_task_infos[0].requires == RequiredTask("Sub", Sub().make_unique_id())


@pytest.mark.parametrize("path", ["tree.csv", "tree", "a.pkl/tree", "tree.pkl.gz"])
def test_the_tree_goes_to_a_pickle_file_only(path):
    with pytest.raises(NotAPickleFile, match=r"must end in '\.pkl'") as caught:
        dump_task_info_tree(both(), path)
    assert isinstance(caught.value, AssertionError)  # gokart's
    assert isinstance(caught.value, KartError)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    assert asked == []


def test_the_options_of_the_command_line():
    assert tree_info().mode == ""
    assert tree_info().output().path() == "./resources/tree.txt"
    assert tree_info(output_path="a/b.txt").output().path() == "./resources/a/b.txt"
    assert tree_info.get_task_family() == "tree_info"


# -- before a build --------------------------------------------------------------------------------------------------


def config(mode, output_type):
    return TaskDumpConfig(TaskDumpMode(mode), TaskDumpOutputType(output_type))


def test_nothing_is_told_by_default(caplog):
    process_task_info(both())
    assert not caplog.records
    assert asked == []


@pytest.mark.parametrize(("mode", "start"), [("tree", "\n└─-(PENDING) Both["), ("table", "name\tunique_id\t")])
def test_what_is_printed_is_seen_at_any_level(caplog, mode, start):
    logging.disable(logging.ERROR)
    try:
        process_task_info(both(), config(mode, "print"))
    finally:
        logging.disable(logging.NOTSET)
    (record,) = caplog.records
    assert record.levelno == logging.INFO
    assert record.getMessage().startswith(start)
    assert both().make_unique_id() in record.getMessage()


PROGRAM = """
import logging, sys
from kart_runtime import TaskOnKart
from kart_runtime.gokart.tree import TaskDumpConfig, TaskDumpMode, TaskDumpOutputType, process_task_info

class Only(TaskOnKart[int]):
    pass

exec(sys.argv[1])
process_task_info(Only(), TaskDumpConfig(TaskDumpMode.TREE, TaskDumpOutputType.PRINT))
"""


@pytest.mark.parametrize(
    "setup", ["", "logging.basicConfig()", "logging.basicConfig(); logging.root.handlers[0].setLevel('ERROR')"]
)
def test_what_is_printed_is_seen_once_in_a_program(setup):
    done = subprocess.run([sys.executable, "-c", PROGRAM, setup], capture_output=True, text=True, check=True)
    assert done.stderr.count("(PENDING) Only[") == 1


def test_a_tree_is_kept_in_the_tasks_workspace():
    task = Task(workspace_directory="elsewhere")
    process_task_info(task, config("tree", "dump"))
    kept = Path(f"elsewhere/log/task_info/Task_{task.make_unique_id()}.txt")
    assert kept.read_text() == make_task_info_as_tree_str(task)
    assert not task.complete()


def test_a_table_is_kept_in_the_tasks_workspace():
    pd = pytest.importorskip("pandas")
    process_task_info(Task(), config("table", "dump"))
    kept = Path(f"resources/log/task_info/Task_{Task().make_unique_id()}.pkl")
    pd.testing.assert_frame_equal(pickle.loads(kept.read_bytes()), make_task_info_as_table(Task()))


@pytest.mark.parametrize(("mode", "place"), [("tree", "none"), ("table", "none"), ("none", "print"), ("none", "dump")])
def test_half_a_configuration_is_an_error(mode, place):
    with pytest.raises(ConfigError, match="task_dump_config") as caught:
        process_task_info(Task(), config(mode, place))
    assert isinstance(caught.value, ValueError)


# -- gokart's names --------------------------------------------------------------------------------------------------


def test_gokarts_names_are_these():
    assert (gokart_info.make_tree_info, gokart_info.tree_info) == (make_tree_info, tree_info)
    for name in gokart_tree.__all__:
        assert getattr(gokart_tree, name) is globals()[name]
    assert task_info_formatter.make_tree_info is tree_text
    assert task_info_formatter.make_tree_info_table_list is table_rows
    assert task_info_formatter.TaskInfo is TaskInfo
