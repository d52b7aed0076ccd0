"""Each parameter gets its argument, else an override, else luigi's configuration, else its default."""

from __future__ import annotations

import luigi
import luigi.util
import pytest
from luigi.cmdline_parser import CmdlineParser
from luigi.parameter import DuplicateParameterException, MissingParameterException, UnknownParameterException

from kart_runtime import TaskOnKart
from kart_runtime.task.parameters import Override, overriding, secret_names


class Base(TaskOnKart[int]):
    depth = luigi.IntParameter(default=1)
    name = luigi.Parameter()


class Special(Base):
    depth = luigi.IntParameter(default=2)
    extra = luigi.ListParameter(default=[1])


def said(value):
    return Override(value, "conf/base/x.yaml:1")


def test_arguments_by_name_and_by_place():
    assert Base(3, "n").param_kwargs["depth"] == 3
    assert Special(name="n").depth == 2
    assert Special(name="n").extra == (1,)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Base(), MissingParameterException, "Base requires a value for 'name'"),
        (lambda: Base(name="n", dept=3), UnknownParameterException, "no parameter 'dept'. Did you mean 'depth'"),
        (lambda: Base(1, "n", 3), UnknownParameterException, "at most 2 positional"),
        (lambda: Base(1, "n", depth=3), DuplicateParameterException, "depth was given twice"),
    ],
)
def test_a_wrong_call_is_explained(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_an_override_replaces_the_default_and_gives_way_to_an_argument():
    with overriding({Base: {"depth": said(7), "name": said("o")}}):
        assert (Base().depth, Base().name) == (7, "o")
        assert Base(depth=9).depth == 9
    with pytest.raises(MissingParameterException):
        Base()
    assert Base(name="n").depth == 1


def test_a_subclass_inherits_overrides_and_its_own_count_more():
    with overriding({TaskOnKart: {"workspace_directory": said("ws")}, Base: {"depth": said(7)}}):
        assert Special(name="n").workspace_directory == "ws"
        assert Special(name="n").depth == 7
    with overriding({Base: {"depth": said(7)}, Special: {"depth": said(8)}}):
        assert Special(name="n").depth == 8
        assert Base(name="n").depth == 7


def test_overrides_come_back_when_a_block_ends_by_an_error():
    with overriding({Base: {"depth": said(7)}}):
        with pytest.raises(ValueError, match="x"), overriding({}):
            raise ValueError("x")
        assert Base(name="n").depth == 7


def test_a_task_built_under_other_overrides_does_not_answer_for_one_built_now():
    class Root(TaskOnKart[int]):
        def requires(self):
            return Base(name="n")

    ids = []
    for depth in (7, 8):
        with overriding({Base: {"depth": said(depth)}}):
            ids.append(Root().make_unique_id())
            assert Root().requires().depth == depth
    assert ids[0] != ids[1]


def test_luigis_configuration_counts_and_may_change():
    config = luigi.configuration.get_config()
    config.set("Base", "depth", "5")
    assert Base(name="n").depth == 5
    config.set("Base", "depth", "6")
    assert Base(name="n").depth == 6
    config.set("TaskOnKart", "workspace_directory", "shared")
    assert Base(name="n").workspace_directory == "shared"
    with overriding({Base: {"depth": said(7)}}):
        assert Base(name="n").depth == 7


def test_a_configured_value_that_cannot_be_read_names_the_parameter():
    luigi.configuration.get_config().set("Base", "depth", "deep")
    with pytest.raises(ValueError, match="Base: the configured value of 'depth'"):
        Base(name="n")


def test_a_configured_parameter_that_nobody_declares_is_told():
    luigi.configuration.get_config().set("Base", "dept", "3")
    with pytest.warns(luigi.parameter.UnconsumedParameterWarning, match="dept"):
        Base(name="n")


def test_luigis_command_line_counts():
    with CmdlineParser.global_instance(["Base", "--name", "n", "--depth", "4"]) as parser:
        assert parser.get_task_obj().depth == 4
    assert Base(name="n").depth == 1


def test_a_parameter_added_later_is_seen():
    class Late(TaskOnKart[int]):
        pass

    class LateChild(Late):
        pass

    LateChild()
    Late.number = luigi.IntParameter(default=3)
    Late.number.__set_name__(Late, "number")
    assert LateChild().number == 3
    assert LateChild(number=4).number == 4


def test_luigis_inherits_decorator():
    @luigi.util.inherits(Base)
    class Heir(TaskOnKart[int]):
        def requires(self):
            return self.clone_parent()

    assert Heir(name="n", depth=4).requires() == Base(name="n", depth=4)


def test_secrets_are_known_by_name():
    with overriding({Base: {"name": Override("s3cret", "x", secret=True), "depth": said(3)}}):
        assert secret_names(Special) == {"name"}
    assert secret_names(Special) == frozenset()


def test_a_list_and_a_tuple_are_one_task():
    assert Special(name="n", extra=[1, [2]]) is Special(name="n", extra=(1, (2,)))


def test_equal_values_of_different_types_are_different_tasks():
    class Anything(TaskOnKart[int]):
        value = luigi.TupleParameter()
        plain = luigi.ListParameter(default=())

    assert Anything(value=(1,)).make_unique_id() != Anything(value=(True,)).make_unique_id()


def test_an_unknown_parameter_is_answered_with_the_tasks_own_first():
    class Own(TaskOnKart[int]):
        depth = luigi.IntParameter(default=1)

    with pytest.raises(UnknownParameterException, match=r"no parameter 'zzz'\. It has: depth, workspace_directory"):
        Own(zzz=1)
