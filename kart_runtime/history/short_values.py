"""Short texts of values in labels, on one line: of one value, of those of a parameter, of those of several tasks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

_LONGEST = 40
"""Characters of a value in a label."""

_MOST_VALUES = 4
"""Values of a list in a label; of more, the first two and the last."""


def shortened_values(texts: Iterable[str | None]) -> dict[str | None, str | None]:
    """Return short forms of the values of one parameter on one line: without what long ones begin with alike."""
    distinct = {text for text in texts if text is not None}
    prefix = 0
    if len(distinct) > 1 and max(map(len, distinct)) > _LONGEST:
        first, last = min(distinct), max(distinct)
        alike = next((place for place, pair in enumerate(zip(first, last, strict=False)) if len(set(pair)) > 1), 0)
        prefix = max(first.rfind(separator, 0, alike) + 1 for separator in "/\\, ")
    short: dict[str | None, str | None] = {text: short_value(text, prefix) for text in distinct}
    return short | {None: None}


def short_value(text: str, prefix: int = 0) -> str:
    """Return a value on one line, quoted where needed; a long one without its beginning, or without its middle."""
    if len(text) > _LONGEST:
        text = f"…{text[prefix:]}" if prefix else text
        text = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 13]}…{text[-12:]}"
    return text if text.isprintable() and text and text == text.strip() else json.dumps(text)


def listed(values: Sequence[str | None]) -> str:
    """Return the values of a list of tasks as one text."""
    shown = [value or "" for value in values]
    if len(shown) > _MOST_VALUES:
        shown = [*shown[:2], f"… {len(shown) - 3} more", shown[-1]]
    return f"[{', '.join(shown)}]"


def several(values: set[str | None]) -> str | None:
    """Return the values of several tasks upstream as one text."""
    shown = sorted((value for value in values if value is not None), key=lambda value: (len(value), value))
    if len(shown) > _MOST_VALUES:
        shown = [*shown[:2], "…", shown[-1]]
    return ",".join(shown) if shown else None
