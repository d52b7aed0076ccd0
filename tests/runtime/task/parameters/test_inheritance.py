"""A decorated task takes values from a configuration class, where nobody says otherwise."""

from __future__ import annotations

import luigi
import pytest

from kart_runtime import TaskOnKart, inherits_config_params
from kart_runtime.task.parameters import Override, overriding


class Shared(luigi.Config):
    depth = luigi.IntParameter(default=3)
    name = luigi.Parameter(default="shared")
    unused = luigi.Parameter(default="u")


@inherits_config_params(Shared)
class Plain(TaskOnKart[int]):
    depth = luigi.IntParameter()
    other = luigi.IntParameter(default=1)


@inherits_config_params(Shared, parameter_alias={"depth": "max_depth"})
class Renamed(TaskOnKart[int]):
    max_depth = luigi.IntParameter(default=9)
    name = luigi.Parameter(default="own")


class Below(Renamed):
    more = luigi.IntParameter(default=0)


def test_values_of_the_configuration_are_taken():
    assert (Plain().depth, Plain().other) == (3, 1)
    assert (Renamed().max_depth, Renamed().name) == (3, "shared")
    assert Below().max_depth == 3


def test_an_argument_counts_more():
    assert Plain(depth=5).depth == 5
    assert Plain(5).depth == 5


def test_an_override_of_the_task_counts_more():
    with overriding({Plain: {"depth": Override(7, "conf/base/run.yaml:1")}}):
        assert Plain().depth == 7
    assert Plain().depth == 3


def test_the_configuration_may_change_while_a_program_runs():
    before = Plain()
    luigi.configuration.get_config().read_dict({"Shared": {"depth": "4"}})
    assert Plain().depth == 4
    assert Plain().make_unique_id() != before.make_unique_id()


def test_the_class_keeps_its_name_and_its_parameters():
    assert Plain.__name__ == "Plain"
    assert "unused" not in dict(Plain.get_params())


def test_a_name_that_the_task_does_not_have_is_not_accepted():
    with pytest.raises(luigi.parameter.UnknownParameterException, match="unused"):
        Plain(unused="x")
