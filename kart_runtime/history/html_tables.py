"""Tables as HTML, for notebooks: escaped, without scripts, in the colors of the page, and shortened if long."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

from kart_runtime.errors.secrets import masked

_MOST_ROWS = 50
_LONGEST = 300
"""Characters of a cell."""

_CELL = "text-align:left;vertical-align:top;padding:2px 12px 2px 0;border-bottom:1px solid rgba(128,128,128,.35)"


def html_table(
    header: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str = "", below: str = "", most: int = _MOST_ROWS
) -> str:
    """Return a table; of more than `most` rows the first ones, and the number of the others."""
    rows = iter(rows)
    shown = list(islice(rows, most))
    n_more = sum(1 for _ in rows)
    parts = [f"<div><strong>{_text(title)}</strong></div>"] if title else []
    if shown:
        head = "".join(f'<th scope="col" style="{_CELL}">{_text(name)}</th>' for name in header)
        body = "".join(_row(row) for row in shown)
        start = '<table style="border-collapse:collapse;background:none;color:inherit">'
        parts.append(f"{start}{f'<thead><tr>{head}</tr></thead>' if header else ''}<tbody>{body}</tbody></table>")
    if n_more:
        parts.append(f"<div>... {n_more:,} more</div>")
    if below:
        parts.append(f"<div>{_text(below)}</div>")
    return f"<div>{''.join(parts)}</div>"


def html_pairs(title: str, pairs: Iterable[tuple[str, Any]], *, below: str = "") -> str:
    """Return a table of names and values."""
    return html_table((), pairs, title=title, below=below)


def _row(row: Sequence[Any]) -> str:
    cells = "".join(f'<td style="{_CELL}">{_text(cell)}</td>' for cell in row)
    return f"<tr>{cells}</tr>"


def _text(value: Any) -> str:
    """Return a value as text that HTML takes for nothing else; control characters, such as marks of direction, go."""
    from html import escape  # with a large table, which only notebooks need

    text = "" if value is None else masked(str(value))
    text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."
    return escape("".join(character if character.isprintable() else " " for character in text))
