"""Labels of pandas frames, an index or the names of the columns, as JSON; `arrow_frames` and `json_frames` store them.

The JSON gives back the type, the values and the names of the labels. What it cannot give back is refused.
"""

from __future__ import annotations

import datetime
from typing import Any

from kart_runtime.errors import CannotEncode
from kart_runtime.storage.codecs.losses import warn_of_loss

Labels = dict[str, Any]

_PLAIN = frozenset({str, int, float, bool, type(None)})


def are_plain(labels: Any) -> bool:
    """Return whether labels are different texts without a name, which every format keeps by itself."""
    import pandas as pd

    unnamed = labels.nlevels == 1 and labels.name is None
    return bool(
        unnamed and labels.dtype == pd.Index([""]).dtype and labels.is_unique and set(map(type, labels)) <= {str}
    )


def encoded(labels: Any, format: str) -> Labels:  # noqa: A002 - the field's word
    """Return labels as JSON; `CannotEncode` if it would not give them back."""
    import pandas as pd

    if isinstance(labels, pd.MultiIndex):
        levels = [encoded(labels.get_level_values(level), format) for level in range(labels.nlevels)]
        return {"kind": "levels", "levels": levels}
    found = _encoded_values(labels, format)
    if getattr(labels, "freq", None) is not None and found["kind"] != "period":
        found["freq"] = labels.freqstr
    return found | ({} if labels.name is None else {"name": encoded_label(labels.name, format)})


def _encoded_values(labels: Any, format: str) -> Labels:  # noqa: A002 - the field's word
    import numpy as np
    import pandas as pd

    dtype = labels.dtype
    if isinstance(labels, pd.RangeIndex):
        return {"kind": "range", "range": [labels.start, labels.stop, labels.step]}
    if isinstance(dtype, pd.CategoricalDtype):
        categories = encoded(labels.categories, format)
        return {"kind": "category", "codes": labels.codes.tolist(), "of": categories, "ordered": bool(labels.ordered)}
    if isinstance(dtype, pd.IntervalDtype):
        ends = {"left": encoded(labels.left, format), "right": encoded(labels.right, format)}
        return {"kind": "interval", "closed": labels.closed, **ends}
    if isinstance(dtype, pd.PeriodDtype):
        return {"kind": "period", "freq": labels.freqstr, "values": labels.asi8.tolist()}
    if isinstance(dtype, pd.DatetimeTZDtype):
        return {
            "kind": "zoned",
            "zone": zone_name(dtype.tz, format),
            "unit": labels.unit,
            "values": labels.asi8.tolist(),
        }
    if dtype.kind in "mM":
        return {"kind": "values", "dtype": str(dtype), "values": labels.asi8.tolist()}
    if dtype == object:  # noqa: E721 - a dtype
        return {"kind": "objects", "values": [encoded_label(label, format) for label in labels]}
    if dtype == pd.Index([""]).dtype:
        return {"kind": "text", "values": [label if isinstance(label, str) else None for label in labels]}
    if isinstance(dtype, np.dtype) and dtype.kind in "iufb" and dtype.isnative:
        return {"kind": "values", "dtype": str(dtype), "values": labels.tolist()}
    raise CannotEncode(format, "labels of text, numbers and times", f"labels of type {dtype}")


def zone_name(zone: Any, format: str) -> str:  # noqa: A002 - the field's word
    """Return a text from which pandas makes the same time zone; `CannotEncode` if there is none."""
    import pandas as pd

    for name in (str(zone), getattr(zone, "key", None), getattr(zone, "zone", None)):
        try:
            if name is not None and pd.DatetimeTZDtype("ns", name).tz == zone:
                return name
        except Exception:  # noqa: BLE001, S112 - a name that pandas does not know
            continue
    raise CannotEncode(format, "time zones that have a name", f"times of {zone!r} (tz_convert('UTC') keeps the times)")


def encoded_label(label: Any, format: str) -> Any:  # noqa: A002 - the field's word
    """Return one label as JSON."""
    if type(label) in _PLAIN:
        return label if label == label else {"nan": 0}  # noqa: PLR0124
    if type(label) is tuple:
        return {"tuple": [encoded_label(part, format) for part in label]}
    kind = type(label).__name__
    if type(label) is datetime.date:
        return {"date": label.isoformat()}
    if kind in ("Timestamp", "datetime") and label.tzinfo is None:
        return {kind: label.isoformat()}
    if kind in ("NAType", "NaTType"):
        return {kind: 0}
    if type(label).__module__ == "numpy" and hasattr(label, "item") and type(label.item()) in _PLAIN:
        return {"numpy": [label.dtype.str, label.item()]}
    raise CannotEncode(format, "labels of text, numbers and times", f"the label {label!r} (a {kind})")


def decoded(labels: Labels) -> Any:
    """Return the labels that `encoded` has encoded."""
    import pandas as pd

    if labels["kind"] == "levels":
        levels = [decoded(level) for level in labels["levels"]]
        return pd.MultiIndex.from_arrays(levels, names=[level.name for level in levels])
    found = _DECODERS[labels["kind"]](labels, decoded_label(labels.get("name")))
    if "freq" in labels and labels["kind"] != "period":
        found.freq = labels["freq"]
    return found


def _decoded_values(labels: Labels, name: Any) -> Any:
    import numpy as np
    import pandas as pd

    values: Any = labels["values"]
    times = labels["dtype"][0] in "dt"
    array = np.array(values, dtype="int64").view(labels["dtype"]) if times else np.array(values, dtype=labels["dtype"])
    return pd.Index(array, name=name)


def _decoded_zoned(labels: Labels, name: Any) -> Any:
    import numpy as np
    import pandas as pd

    values: Any = np.array(labels["values"], dtype="int64").view(f"M8[{labels['unit']}]")
    return pd.DatetimeIndex(values, name=name).tz_localize("UTC").tz_convert(labels["zone"])


def _decoded_category(labels: Labels, name: Any) -> Any:
    import pandas as pd

    of = decoded(labels["of"])
    return pd.CategoricalIndex(pd.Categorical.from_codes(labels["codes"], of, ordered=labels["ordered"]), name=name)


def _pandas() -> Any:
    import pandas as pd

    return pd


_DECODERS: dict[str, Any] = {
    "range": lambda labels, name: _pandas().RangeIndex(*labels["range"], name=name),
    "category": _decoded_category,
    "interval": lambda labels, name: _pandas().IntervalIndex.from_arrays(
        decoded(labels["left"]), decoded(labels["right"]), labels["closed"], name=name
    ),
    "period": lambda labels, name: _pandas().PeriodIndex.from_ordinals(
        labels["values"], freq=labels["freq"], name=name
    ),
    "zoned": _decoded_zoned,
    "values": _decoded_values,
    "objects": lambda labels, name: _pandas().Index(
        [decoded_label(label) for label in labels["values"]], dtype=object, name=name, tupleize_cols=False
    ),
    "text": lambda labels, name: _pandas().Index(labels["values"], dtype=_pandas().Index([""]).dtype, name=name),
}


def decoded_label(label: Any) -> Any:
    """Return the label that `encoded_label` has encoded."""
    if not isinstance(label, dict):
        return label
    ((kind, value),) = label.items()
    return _LABELS[kind](value)


def _numpy_scalar(value: Any) -> Any:
    import numpy as np

    return np.dtype(value[0]).type(value[1])


_LABELS: dict[str, Any] = {
    "nan": lambda _: float("nan"),
    "tuple": lambda parts: tuple(map(decoded_label, parts)),
    "date": datetime.date.fromisoformat,
    "datetime": datetime.datetime.fromisoformat,
    "Timestamp": lambda text: _pandas().Timestamp(text),
    "NAType": lambda _: _pandas().NA,
    "NaTType": lambda _: _pandas().NaT,
    "numpy": _numpy_scalar,
}


def warn_of_index(frame: Any, format: str) -> None:  # noqa: A002 - the field's word
    """Warn of an index that says more than the numbers of the rows, which csv, parquet and ndjson do not store."""
    import pandas as pd

    index = frame.index
    if index.name is None and index.dtype.kind in "iu" and index.equals(pd.RangeIndex(len(frame))):
        return
    if format in ("csv", "tsv") and index.name is None and index.dtype.kind in "iu":
        return  # numbers of rows of a frame that was sorted or cut; nobody expects those in csv
    names = ", ".join(f"'{name}'" for name in index.names if name is not None)
    warn_of_loss(
        format,
        f"does not store the index{f' {names}' if names else ''} of this frame",
        f"Use reset_index() to store it as {'a column' if index.nlevels == 1 else 'columns'}, "
        f"reset_index(drop=True) to drop it, or a .{'feather' if index.nlevels == 1 else 'pkl'} file",
    )
