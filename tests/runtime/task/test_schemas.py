"""Schemas of pandera on a task: what fits, what is said when it does not, and that the value stays as it is."""

from __future__ import annotations

import pickle

import pandas as pd
import pandera.pandas as pa
import pandera.polars as pap
import polars as pl
import pytest

from kart_runtime.errors import TaskError
from kart_runtime.task.schemas import SchemaMismatch, check_schema, schema_for

SALES = pa.DataFrameSchema({"shop": pa.Column(str), "sold": pa.Column(int, pa.Check.ge(0))})
GOOD = pd.DataFrame({"shop": ["a", "b"], "sold": [1, 2]})
SALES_PL = pap.DataFrameSchema({"shop": pap.Column(str), "sold": pap.Column(int, pap.Check.ge(0))})


class Sales(pa.DataFrameModel):
    shop: str
    sold: int = pa.Field(ge=0)


class SalesPl(pap.DataFrameModel):
    shop: str
    sold: int = pap.Field(ge=0)


@pytest.mark.parametrize("schema", [SALES, Sales, None, {"out": SALES}])
def test_a_frame_that_fits_passes(schema):
    check_schema("t", schema, {"out": GOOD} if isinstance(schema, dict) else GOOD, "dump")


@pytest.mark.filterwarnings("ignore:Pickling SchemaError")  # where dask is installed, pickles of errors hold causes
@pytest.mark.parametrize("schema", [SALES, Sales])
@pytest.mark.parametrize("when", ["dump", "load"])
def test_all_that_does_not_fit_is_named(schema, when):
    bad = pd.DataFrame({"shop": ["a", None] + ["b"] * 6, "sold": range(-7, 1)}, index=list("abcdefgh"))
    with pytest.raises(SchemaMismatch) as caught:
        check_schema("Load(x=1)", schema, bad, when)
    error = pickle.loads(pickle.dumps(caught.value))
    assert (error.task, error.when) == ("Load(x=1)", when)
    by_column = {failure.column: failure for failure in error.failures}
    assert by_column["sold"].check == "greater_than_or_equal_to(0)"
    assert by_column["sold"].count == 7
    assert by_column["sold"].rows == tuple(zip("abcde", ["-7", "-6", "-5", "-4", "-3"], strict=True))
    assert by_column["shop"].check == "not_nullable"
    assert f"Load(x=1): schema validation failed on {when}" in str(error)
    assert "column 'sold': greater_than_or_equal_to(0) failed for 7: row a: -7" in str(error)


def test_the_first_failure_is_at_hand_and_a_missing_column_has_no_row():
    with pytest.raises(SchemaMismatch) as caught:
        check_schema("t", SALES, GOOD[["shop"]], "dump")
    error = caught.value
    assert (error.column, error.check, error.count, error.rows) == (None, "column_in_dataframe", 1, (("", "'sold'"),))
    assert "\n  missing column: 'sold'\nChange run() or the schema." in str(error)


def test_of_a_column_with_a_wrong_type_only_that_is_said_and_an_unexpected_column_is_named():
    schema = pa.DataFrameSchema(SALES.columns, strict=True)
    with pytest.raises(SchemaMismatch) as caught:
        check_schema("t", schema, GOOD.assign(sold=["a", "b"], price=1.0), "load")
    assert {failure.check for failure in caught.value.failures} == {"column_in_schema", "dtype('int64')"}
    assert "column that the schema does not have: 'price'" in str(caught.value)
    assert caught.value.__suppress_context__  # pandera's own error quotes the whole schema


def test_nothing_is_coerced_filled_in_or_dropped():
    columns = {"sold": pa.Column(int, pa.Check.ge(0), coerce=True), "new": pa.Column(int, default=1)}
    schema = pa.DataFrameSchema(columns, coerce=True, add_missing_columns=True, drop_invalid_rows=True)
    frame = pd.DataFrame({"sold": ["1", "-1"]}, index=["a", "b"])
    before = frame.copy()
    with pytest.raises(SchemaMismatch) as caught:
        check_schema("t", schema, frame, "dump")
    assert {"column_in_dataframe", "dtype('int64')"} <= {failure.check for failure in caught.value.failures}
    pd.testing.assert_frame_equal(frame, before)
    assert schema.coerce
    assert schema.columns["sold"].coerce


@pytest.mark.parametrize("schema", [SALES_PL, SalesPl])
def test_frames_of_polars_are_checked(schema):
    check_schema("t", schema, pl.DataFrame({"shop": ["a"], "sold": [1]}), "dump")
    with pytest.raises(SchemaMismatch) as caught:
        check_schema("t", schema, pl.DataFrame({"shop": ["a", "b"], "sold": [1, -2]}), "dump")
    assert (caught.value.column, caught.value.check) == ("sold", "greater_than_or_equal_to(0)")
    assert caught.value.rows[0][0] == "1"
    assert "-2" in caught.value.rows[0][1]


def test_of_a_lazy_frame_columns_and_types_are_checked():
    check_schema("t", SALES_PL, pl.LazyFrame({"shop": ["a"], "sold": [-1]}), "dump")
    with pytest.raises(SchemaMismatch, match="column 'sold': dtype"):
        check_schema("t", SALES_PL, pl.LazyFrame({"shop": ["a"], "sold": ["1"]}), "dump")


@pytest.mark.parametrize("value", [3, pl.DataFrame({"shop": ["a"], "sold": [1]}), GOOD["sold"]], ids=type)
def test_another_kind_of_value_does_not_fit(value):
    with pytest.raises(SchemaMismatch, match=type(value).__name__):
        check_schema("t", SALES, value, "dump")


def test_the_schemas_of_several_outputs_are_found_by_key():
    schemas = {"sales": SALES}
    assert schema_for(schemas, "sales") is SALES
    assert schema_for(schemas, "other") is None
    assert schema_for(SALES, "sales") is SALES
    check_schema("t", schemas, {"sales": GOOD, "other": 3}, "load")
    with pytest.raises(SchemaMismatch, match=r"t\['sales'\]"):
        check_schema("t", schemas, {"sales": GOOD.assign(sold=-1)}, "load")
    with pytest.raises(TaskError, match="Pass the key"):
        check_schema("t", schemas, GOOD, "dump")


def test_what_is_no_schema_is_refused():
    with pytest.raises(TaskError, match="expected a pandera schema or model as schema, got 3"):
        check_schema("t", 3, GOOD, "dump")


def test_without_pandera_the_hint_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pandera", None)
    with pytest.raises(TaskError, match=r"kart-runtime\[pandera\]"):
        check_schema("t", SALES, GOOD, "dump")
