"""Configuration of the documentation site: `sphinx-build -W -b html docs build/docs`.

The pages are plain Markdown that reads well in the repository, too, so they hold no directives for the navigation:
each README.md lists the pages of its folder, and `_add_toctrees` makes the site's navigation of these lists.
"""

from __future__ import annotations

import re
import shutil
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

FOLDER = Path(__file__).parent

project = "kart"
author = "The authors of kart"
project_copyright = "the authors of kart"
version = release = version_of("kart-runtime")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "README"
exclude_patterns = ["**/_*"]
default_role = "py:obj"
nitpicky = False

myst_heading_anchors = 4
myst_enable_extensions = ["deflist"]

autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_rtype = False

html_theme = "furo"
html_title = "kart"
html_copy_source = False
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["kart.css"]
html_theme_options = {"navigation_with_keys": True}
pygments_style = "default"
pygments_dark_style = "github-dark"


def setup(app: Sphinx) -> None:
    """Connect the functions below to Sphinx."""
    app.connect("source-read", _link_files)
    app.connect("source-read", _add_toctrees)
    app.connect("build-finished", _write_index)


def _link_files(_app: Sphinx, page: str, source: list[str]) -> None:
    """Let links to files outside of this folder, such as the README of a script, lead to a copy in the site."""

    def rewritten(match: re.Match[str]) -> str:
        target = ((FOLDER / page).parent / match[1]).resolve()
        return f"](path:{match[1]})" if FOLDER not in target.parents else match[0]

    source[0] = re.sub(r"\]\((\.\.[^)#:]*)(?:#[^)]*)?\)", rewritten, source[0])


def _add_toctrees(_app: Sphinx, page: str, source: list[str]) -> None:
    """Append a hidden table of contents to a README.md: a part for each section, with the pages that it links to."""
    if page.rpartition("/")[2] != "README":
        return
    folder = (FOLDER / page).parent
    parts = re.split(r"^## (.+)$", source[0], flags=re.MULTILINE)
    sections = list(zip(parts[1::2], parts[2::2], strict=True)) or [("", source[0])]
    listed: set[str] = set()
    for title, text in sections:
        links = re.findall(r"\]\(([\w./-]+)\.md\)", text)
        pages = [link for link in dict.fromkeys(links) if (folder / f"{link}.md").exists() and link not in listed]
        listed.update(pages)
        if pages:
            options = [":hidden:", *([f":caption: {title}"] if title else [])]
            source[0] += "\n\n" + "\n".join(["```{toctree}", *options, "", *pages, "```"]) + "\n"


def _write_index(app: Sphinx, error: Exception | None) -> None:
    """Write the first page under the name that web servers look for, too."""
    first: Any = Path(app.outdir) / f"{root_doc}.html"
    if error is None and first.exists():
        shutil.copyfile(first, first.with_name("index.html"))
