"""The page: one HTML file with its style, its script and its data, which cannot call out."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

from kart_runtime.report import static_parts, static_svg
from kart_runtime.report.columns import packed
from kart_runtime.report.data import Contents
from kart_runtime.report.previews import Preview
from kart_runtime.report.texts import escaped

MARK = '<meta name="generator" content="kart report">'
"""Line by which a report is known: another file is not replaced."""

_SCRIPTS = ("pure.js", "dom.js", "graph.js", "timeline.js", "table.js", "panel.js", "main.js")


def page(
    contents: Contents,
    labels: Sequence[str],
    *,
    data: Mapping[str, Any],
    extras: Mapping[str, Any],
    images: Sequence[Preview],
    before: tuple[str, Mapping[str, Sequence[str]]],
    notes: Sequence[str] = (),
) -> str:
    """Return the report as HTML.

    `data` is what the page draws at once, `extras` what the panel shows, `images` those of the panel, `before` the id
    of the run before and what differs from it, `notes` what was left out.
    """
    script, style = _script(), _style()
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    title = escaped(f"{contents.run.header.get('label') or contents.run.id}: {static_parts.result(contents)}", 150)
    path = static_parts.path_text(contents, labels)
    blocks = [("data", packed(data)), ("extras", packed(extras))]
    blocks += [(image_id(image), image.content) for image in images]
    timeline = static_svg.timeline_svg(contents)
    graph = static_svg.graph_svg(contents) or _NO_GRAPH
    remarks = "".join(f"<p class=sub>{escaped(note)}</p>" for note in notes)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
{MARK}
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<a class="skip" href="#tasks">Skip to the table of tasks</a>
<main>
{static_parts.head(contents, labels, before[1], before[0])}
<p id="status" class="error" role="status"></p>
<p id="live" class="quiet" role="status" aria-live="polite"></p>
{static_parts.failures(contents, labels)}
{static_parts.sweep_table(contents)}
{_TOOLS}
<section id="graph"><h2>Graph</h2>
<div class="scroll" data-script="off" tabindex="0">{graph}</div>
{_GRAPH}</section>
<section id="timeline"><h2>Timeline</h2><p>{path}</p>
<p class="sub">A lane for each worker. Grey: ready, and waiting for a worker. Outlined: the critical path. Failed \
attempts are red and outlined.</p>
<div class="scroll" data-script="off">{timeline}</div>
{_TIMELINE}</section>
{_TABLE}
{static_parts.class_table(contents)}
{remarks}
</main>
{_PANEL}
{"".join(f'<script type="application/octet-stream" id="{name}">{text}</script>' for name, text in blocks)}
<script>{script}</script>
</body>
</html>
"""


def image_id(image: Preview) -> str:
    """Return the id of the block that holds an image."""
    return f"image-{image.task}-{image.output}"


_NO_GRAPH = "<p>Which task requires which is not recorded, or there are too many modules to draw. See the tables.</p>"

_TOOLS = """<div id="tools" data-script="on" hidden role="search">
<input id="search" type="search" aria-label="Search tasks" placeholder="name, max_depth=4 or id" autocomplete="off">
<span id="filters" role="group" aria-label="State"></span>
<button type="button" id="clear" hidden>Clear</button>
<span id="count" class="sub"></span>
<button type="button" id="theme">Dark</button>
</div>"""

_GRAPH = """<div data-script="on" hidden>
<div id="graph-tools">
<button type="button" id="level-modules">Modules</button>
<button type="button" id="level-classes">Classes</button>
<button type="button" id="level-tasks">Tasks</button>
<button type="button" id="zoom-in" aria-label="Zoom in">+</button>
<button type="button" id="zoom-out" aria-label="Zoom out">−</button>
<button type="button" id="zoom-fit">Fit</button>
<span class="sub">Enter or a click opens a box; arrows move, Escape closes, + − 0 zoom, and so does the wheel \
after a click.</span>
</div>
<svg id="graph-svg" role="group" aria-label="Graph of the tasks"></svg>
</div>"""

_TIMELINE = """<div id="timeline-view" data-script="on" hidden>
<canvas id="timeline-canvas" tabindex="0" role="img" aria-label="Timeline. Keys: plus, minus, 0, left, right. \
The table of tasks has the same times."></canvas></div>"""

_TABLE = """<section id="tasks" data-script="on" hidden><h2>Tasks</h2>
<div class="scroll"><table><thead><tr id="task-head"></tr></thead><tbody id="task-rows"></tbody></table></div>
<p><button type="button" id="more-rows" hidden>Show more</button></p></section>"""

_PANEL = """<aside id="panel" role="dialog" aria-labelledby="panel-title" hidden>
<button type="button" id="panel-close">Close</button>
<h2 id="panel-title" tabindex="-1"></h2>
<div id="panel-body"></div>
</aside>
<svg id="svg-namespace" width="0" height="0" aria-hidden="true"></svg>"""


@cache
def _script() -> str:
    """Return the script, without indentation and lines that are comments."""
    lines = "\n".join(_text(name) for name in _SCRIPTS).splitlines()
    body = "\n".join(line.strip() for line in lines if line.strip() and not line.strip().startswith("//"))
    return f'"use strict";(() => {{\n{body}\n}})();'


@cache
def _style() -> str:
    return re.sub(r"\n\s*", "\n", _text("page.css"))


def _text(name: str) -> str:
    return (resources.files("kart_runtime.report") / "page" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
