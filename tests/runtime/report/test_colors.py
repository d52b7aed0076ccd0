"""Contrast of the colors of both themes, computed from the variables of the style sheet."""

from __future__ import annotations

import re
from importlib import resources

import pytest

CSS = (resources.files("kart_runtime.report") / "page" / "page.css").read_text(encoding="utf-8")


def theme(selector):
    start = CSS.index(selector)
    return dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", CSS[start : CSS.index("}", start)]))


def luminance(color):
    channels = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [each / 12.92 if each <= 0.03928 else ((each + 0.055) / 1.055) ** 2.4 for each in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


THEMES = {
    "light": theme(":root {"),
    "dark by the system": theme(':root:not([data-theme="light"])'),
    "dark by the button": theme(':root[data-theme="dark"]'),
}


@pytest.mark.parametrize("colors", THEMES.values(), ids=THEMES.keys())
def test_texts_and_lines_can_be_told_from_what_is_behind_them(colors):
    for back in ("back", "raised"):
        for text in ("text", "muted", "link", "ran", "failed", "pending"):
            assert contrast(colors[text], colors[back]) >= 4.5, (text, back)
        for line in ("line", "ran", "failed", "skipped", "pending", "critical", "waiting", "focus"):
            assert contrast(colors[line], colors[back]) >= 3, (line, back)


def test_both_dark_themes_are_the_same():
    assert THEMES["dark by the system"] == THEMES["dark by the button"]
    assert len(THEMES["light"]) == len(THEMES["dark by the button"]) >= 14
