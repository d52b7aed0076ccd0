"""Schemas that a frame of tumors must fit, checked whenever a task loads one."""

import pandera.pandas as pa

from {{ cookiecutter.package_name }}.lib.frames import MEASUREMENTS, PATIENT, TARGET

_COLUMNS = {
    PATIENT: pa.Column(int, unique=True),
    **{name: pa.Column(float, pa.Check.ge(0)) for name in MEASUREMENTS},
}

NEW_TUMORS = pa.DataFrameSchema(_COLUMNS, strict=True)
"""Rows without a label; `strict` rejects columns that are not listed. No value may be missing."""

TUMORS = NEW_TUMORS.add_columns({TARGET: pa.Column(int, pa.Check.isin([0, 1]))})
"""Rows with a label: 1 is malignant, 0 is benign."""
