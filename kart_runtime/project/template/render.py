"""Rendering of a template by cookiecutter, in a process of its own."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kart_runtime.errors import closest_match
from kart_runtime.project.template.record import Record, TemplateError
from kart_runtime.project.template.sources import Template

_CALL = Path(__file__).with_name("cookiecutter_call.py")


def require_cookiecutter(command: str) -> None:
    """Raise `TemplateError` with the command that installs cookiecutter, unless it is installed."""
    if importlib.util.find_spec("cookiecutter") is None:
        pip = "-m pip install" if importlib.util.find_spec("pip") else None
        install = f"{sys.executable} {pip}" if pip else f"uv pip install --python {sys.executable}"
        raise TemplateError(f"{command} needs cookiecutter (extra 'new' of kart-runtime): {install} cookiecutter")


def call_cookiecutter(template: str, *, quiet: bool = False, **options: Any) -> tuple[int, Path | None, str]:
    """Call cookiecutter; return its exit code, the generated folder, and, with `quiet`, what it printed of errors."""
    with tempfile.TemporaryDirectory(prefix="kart-") as folder:
        result = Path(folder, "result")
        call = {"template": template, "options": options, "result": str(result)}
        command = [sys.executable, "-P", str(_CALL), json.dumps(call)]
        # an existing project may have a name that the template has reserved since
        environment = {**os.environ, "KART_UPDATE": "1"} if quiet else None
        stdin = subprocess.DEVNULL if quiet else None
        done = subprocess.run(command, stdin=stdin, capture_output=quiet, env=environment, check=False)  # noqa: S603
        generated = Path(result.read_text(encoding="utf-8")) if result.is_file() else None
        return done.returncode, generated, (done.stderr or b"").decode(errors="replace")


def render(template: Template, answers: Mapping[str, Any], folder: Path) -> Path:
    """Render a template with recorded answers, in a new folder, and return the folder of the files.

    Raises
    ------
    TemplateError
        The template rejects the answers, or cannot be rendered.
    """
    folder.mkdir(parents=True)
    # the user's own cookiecutter settings and replays are neither read nor changed
    config = folder / "cookiecutter.json"
    config.write_text(json.dumps({"replay_dir": str(folder / "replay"), "cookiecutters_dir": str(folder / "clones")}))
    known = prompts(template)
    code, generated, errors = call_cookiecutter(
        str(template.folder),
        quiet=True,
        no_input=True,
        extra_context={name: value for name, value in answers.items() if name in known},
        output_dir=str(folder / "files"),
        config_file=str(config),
    )
    if code == 0 and generated is not None:
        return generated
    lines = [line.removeprefix("error: ") for line in errors.splitlines() if line != "Nothing was generated."]
    raise TemplateError(
        f"{template.source} cannot be rendered with the recorded answers:\n       " + "\n       ".join(lines)
    )


def prompts(template: Template) -> dict[str, Any]:
    """Return the prompts of a template with their defaults."""
    path = template.folder / "cookiecutter.json"
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise TemplateError(
            f"{template.source}: {template.directory}/cookiecutter.json is not valid: {error}"
        ) from error
    return {name: default for name, default in document.items() if not name.startswith("_")}


def rendered_answers(folder: Path, answers: Mapping[str, Any], template: Template) -> dict[str, Any]:
    """Return the answers that a render was made with: those of its record, which include new prompts' defaults."""
    path = folder / ".kart-template.json"
    if path.is_file():
        return dict(json.loads(path.read_text(encoding="utf-8"))["answers"])
    known = prompts(template)
    return {name: value for name, value in answers.items() if name in known}


def new_record(folder: Path, answers: Mapping[str, Any], template: Template) -> Record:
    """Return the record of a render."""
    return Record(
        template.source,
        template.directory,
        template.commit,
        template.version,
        rendered_answers(folder, answers, template),
    )


def check_answers(template: Template, names: Mapping[str, Any]) -> None:
    """Raise `TemplateError` if a name is not a prompt of the template."""
    known = prompts(template)
    for name in names:
        if name not in known:
            guess = closest_match(name, known)
            hint = f"did you mean '{guess}'?" if guess else f"expected: {', '.join(known)}"
            raise TemplateError(f"'{name}' is not a prompt of the template\n       {hint}")
