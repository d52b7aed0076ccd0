"""Values of records in the form that other tools take."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

from kart_runtime.errors.secrets import masked_values


def without_secrets(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a record, a header or an end with `***` in place of each known secret."""
    return cast("Mapping[str, Any]", masked_values(values))


def milliseconds(text: Any) -> int | None:
    """Return an ISO 8601 time in milliseconds since the epoch; None if it is none."""
    try:
        return round(datetime.fromisoformat(text).timestamp() * 1000)
    except (TypeError, ValueError):
        return None


def start_and_end(record: Any) -> tuple[int, int]:
    """Return when an attempt began and ended, in milliseconds; of records of earlier versions by its duration."""
    begin = milliseconds(record.get("started")) or 0
    return begin, max(milliseconds(record.get("ended")) or begin + round(1000 * record.get("seconds", 0)), begin)


def short_name(record: Any) -> str:
    """Return the class of a task with the beginning of its id."""
    return f"{record['task']}[{record['unique_id'][:8]}]"


def short_key(key: str) -> str:
    """Return the last two parts of a full key: TrainModel.max_depth."""
    return ".".join(key.split(".")[-2:])
