"""Script that calls cookiecutter once, in a process of its own; `render` starts it with a JSON text as its argument.

A template's extension is imported under a fixed name, so two versions of it cannot share a process. Imports nothing of
kart, so it starts fast. Exit codes: 0, 2 if nothing was generated, 130 after Ctrl-C.
"""

import json
import logging
import sys
from pathlib import Path
from typing import Any


def main(call: dict[str, Any]) -> int:
    """Generate a project, and write its folder to the file `call["result"]`; print one line for an error."""
    from cookiecutter.exceptions import FailedHookException  # type: ignore[import-untyped]
    from cookiecutter.main import cookiecutter  # type: ignore[import-untyped]

    logging.getLogger("cookiecutter").addHandler(logging.NullHandler())
    try:
        folder = cookiecutter(call["template"], **call["options"])
    except KeyboardInterrupt:
        return 130
    except FailedHookException:  # the hook has printed why
        return 2
    except Exception as error:  # noqa: BLE001 - whatever a template or a prompt raises becomes one line
        return _refuse(error)
    Path(call["result"]).write_text(str(Path(folder).resolve()), encoding="utf-8")
    return 0


def _refuse(error: Exception) -> int:
    if isinstance(error, EOFError) or type(error).__name__ == "Abort":
        text = "the prompts were not answered. Pass --no-input to accept the defaults."
    else:
        text = " ".join(str(getattr(error, "message", None) or error).split()) or type(error).__name__
    sys.stderr.write(f"error: {text.removeprefix('Error: ')}\n")
    return 2


if __name__ == "__main__":
    sys.stderr.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    raise SystemExit(main(json.loads(sys.argv[1])))
