"""Build hook of the engine's wheel: adds the template as one file, `kart_runtime/_template.zip`.

One file, because the template's paths are long: installed below a deep folder they would exceed what Windows allows.
"""

from __future__ import annotations

import runpy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class TemplateArchive(BuildHookInterface):
    """Adds the archive of `template/wheel.py`; an editable installation uses the template itself."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write the archive to a temporary folder and include it."""
        if version == "editable":
            return
        wheel = runpy.run_path(str(Path(self.root, "template", "wheel.py")))
        self._folder = TemporaryDirectory(prefix="kart-build-")
        path = Path(self._folder.name, "template.zip")
        path.write_bytes(wheel["template_archive"](Path(self.root)))
        build_data["force_include"][str(path)] = wheel["ARCHIVE"]

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        """Delete the temporary folder."""
        if version != "editable":
            self._folder.cleanup()
