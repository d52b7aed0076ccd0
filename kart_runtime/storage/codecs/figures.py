"""Figures of matplotlib, plotly and altair, and images of Pillow, as pictures and pages; texts and bytes as they are.

A picture is not the figure: `load` returns its bytes or text, and says so where the task declares a figure. An image of
Pillow comes back if the task declares it. The libraries are recognized by name, so that none is imported for it.
"""

from __future__ import annotations

import io
import warnings
from typing import Any, BinaryIO, cast, get_args, is_typeddict

from kart_runtime.errors import CannotEncode
from kart_runtime.storage.codecs.libraries import optional
from kart_runtime.storage.codecs.losses import FormatWarning, declared, warn_of_loss
from kart_runtime.storage.codecs.texts import Binary
from kart_runtime.storage.codecs.typed_values import hints_of

_UNDATED: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "svg": {"Date": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
"""Metadata of matplotlib's that would make equal figures different files."""


def kind_of(value_type: Any) -> str | None:
    """Return "matplotlib", "plotly", "altair" or "pillow" for the class of a figure or image, None for others."""
    for base in getattr(value_type, "__mro__", ()):
        package = base.__module__.partition(".")[0]
        if package == "matplotlib" and base.__name__ in ("Figure", "FigureBase"):
            return "matplotlib"
        if package == "seaborn" and hasattr(base, "savefig"):
            return "matplotlib"
        if package == "plotly" and base.__name__ in ("BaseFigure", "Figure"):
            return "plotly"
        if package == "altair" and hasattr(base, "to_html"):
            return "altair"
        if package == "PIL" and base.__name__ == "Image":
            return "pillow"
    return None


class _Picture(Binary):
    """A picture: figures are drawn, and what is drawn already is stored as it is."""

    name: str
    accepted = "bytes, or a figure of matplotlib or plotly, or an image of Pillow"
    raw: tuple[type, ...] = (bytes, bytearray, memoryview)

    def dump(self, value: Any, file: BinaryIO) -> None:
        """Write a figure, an image, or what is encoded already."""
        if isinstance(value, self.raw):
            file.write(value.encode() if isinstance(value, str) else cast("bytes", value))
            return
        content = self._drawn(value)
        if content is None:
            raise CannotEncode(self.name, self.accepted, type(value).__name__)
        self._tell(value)
        file.write(content)

    def load(self, file: BinaryIO, as_type: Any = None) -> Any:
        """Read the bytes, or text; an image if the task declares one of Pillow."""
        kind = kind_of(as_type)
        content = file.read()
        if kind == "pillow":
            return _opened(content)
        read = content.decode() if str in self.raw else content
        if kind is not None:
            warnings.warn(
                f"{self.name} stores the picture of a figure, so load() gives {type(read).__name__}, and not the "
                f"{as_type.__name__} that the task declares. Use .pkl{' or .json' * (kind == 'plotly')} to load the "
                "figure itself.",
                FormatWarning,
                stacklevel=2,
            )
        return read

    def _drawn(self, value: Any) -> bytes | None:
        kind = kind_of(type(value))
        if kind == "matplotlib":
            return _drawn_by_matplotlib(value, self.name)
        if kind == "plotly":
            return _drawn_by_plotly(value, self.name)
        return _saved_by_pillow(value, self.name) if kind == "pillow" else None

    def _tell(self, value: Any) -> None:
        """Warn that a figure comes back as its picture, unless the task's declaration says or will hear it."""
        told = declared.get()
        kinds = {*get_args(told), *(hints_of(told).values() if is_typeddict(told) else ()), told}
        if not kinds & {bytes, str} and kind_of(told) != kind_of(type(value)):
            type_ = "str" if str in self.raw else "bytes"
            name = type(value).__name__
            warn_of_loss(
                self.name,
                f"stores the picture of this {name}, and load() gives {type_}",
                f"Declare TaskOnKart[{name}], or use .pkl to load the {name} itself",
            )


def _drawn_by_matplotlib(figure: Any, format: str) -> bytes:  # noqa: A002 - the field's word
    import matplotlib as mpl

    buffer = io.BytesIO()
    metadata = _UNDATED.get(format)
    with mpl.rc_context({"svg.hashsalt": "kart"}):  # else each file has other ids
        figure.savefig(buffer, format=format, **({"metadata": metadata} if metadata else {}))
    return buffer.getvalue()


def _drawn_by_plotly(figure: Any, format: str) -> bytes:  # noqa: A002 - the field's word
    if optional("kaleido") is None:
        raise ImportError(
            f"plotly needs kaleido to draw {format} files. Add kaleido to the dependencies in pyproject.toml, and run: "
            "make setup (or uv sync). Or use .html or .json, which need nothing."
        )
    try:
        return bytes(figure.to_image(format=format))
    except Exception as error:
        found = f"a figure that plotly could not draw ({str(error).strip().partition(chr(10))[0]}; .html needs nothing)"
        raise CannotEncode(format, "pictures", found) from error


def _saved_by_pillow(image: Any, format: str) -> bytes | None:  # noqa: A002 - the field's word
    buffer = io.BytesIO()
    if format not in ("png", "jpg"):
        return None
    try:
        image.save(buffer, "jpeg" if format == "jpg" else format)
    except (OSError, ValueError, KeyError) as error:
        raise CannotEncode(format, "images of other modes", f"one of mode {image.mode} ({error})") from error
    if format == "jpg":
        warn_of_loss("jpg", "changes the pixels of an image", "Use .png to keep them")
    return buffer.getvalue()


def _opened(content: bytes) -> Any:
    from PIL import Image

    image = Image.open(io.BytesIO(content))
    return image.copy()  # without the file


class Png(_Picture):
    """A PNG picture."""

    name = "png"


class Jpeg(_Picture):
    """A JPEG picture."""

    name = "jpg"


class Pdf(_Picture):
    """A PDF document."""

    name = "pdf"
    accepted = "bytes, or a figure of matplotlib or plotly"


class Svg(_Picture):
    """An SVG picture: text."""

    name = "svg"
    accepted = "a str, or a figure of matplotlib or plotly"
    raw = (str,)


class Html(_Picture):
    """A page: text, a figure of plotly or altair that works without a network, or one of matplotlib."""

    name = "html"
    accepted = "a str, or a figure of matplotlib, plotly or altair"
    raw = (str,)

    def _drawn(self, value: Any) -> bytes | None:
        kind = kind_of(type(value))
        if kind == "plotly":
            return str(value.to_html(include_plotlyjs=True, div_id="figure")).encode()
        if kind == "altair":
            return str(value.to_html()).encode()
        if kind == "matplotlib":
            svg = _drawn_by_matplotlib(value, "svg")
            picture = svg[svg.find(b"<svg") :]
            return b'<!DOCTYPE html>\n<html><head><meta charset="utf-8"></head><body>\n' + picture + b"</body></html>\n"
        return None
