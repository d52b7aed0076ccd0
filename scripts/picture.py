"""Record docs/images/run.svg: the sample project's run, the same again, and a run with a changed parameter.

    python scripts/picture.py [FILE]

Everything in the picture comes from these runs, in a project that is generated for it, as on a terminal of fixed width.
Needs the development dependencies.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from io import StringIO
from pathlib import Path

from cookiecutter.main import cookiecutter
from rich.console import Console
from rich.text import Text

REPOSITORY = Path(__file__).parents[1]
COMMANDS = ("kart run", "kart run", "kart run TrainModel.max_depth=2")
WIDTH = 80


def main() -> int:
    """Run the commands, and write the picture."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else REPOSITORY / "docs" / "images" / "run.svg"
    with tempfile.TemporaryDirectory() as folder:
        svg = drawn([(command, lines_of(command, project)) for project in [generated(folder)] for command in COMMANDS])
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(svg, encoding="utf-8", newline="\n")
    print(f"{target}: written")
    return 0


def generated(folder: str) -> Path:
    """Return a project with the template's default answers."""
    return Path(cookiecutter(str(REPOSITORY / "template"), no_input=True, output_dir=folder, default_config=True))


def lines_of(command: str, project: Path) -> list[str]:
    """Run a command, and return the lines that stay on a terminal: those of tasks that start belong to the bar."""
    package = next(path.parent.name for path in project.glob("src/*/__main__.py"))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KART_")}
    done = subprocess.run(
        [sys.executable, "-m", package, *command.split()[1:]],
        cwd=project,
        env=environment | {"PYTHONPATH": str(project / "src")},
        text=True,
        stdout=subprocess.PIPE,
        check=True,
    )
    return [line for line in done.stdout.splitlines() if not line.endswith(" ...")]


def drawn(runs: list[tuple[str, list[str]]]) -> str:
    """Return the runs as SVG, the same for the same lines."""
    console = Console(record=True, width=WIDTH, file=StringIO(), force_terminal=True)
    for index, (command, lines) in enumerate(runs):
        console.print(
            Text.assemble("" if index == 0 else "\n", ("$ ", "bold green"), (command, "bold")), soft_wrap=True
        )
        for line in lines:
            console.print(colored(line), overflow="ellipsis", no_wrap=True)
    console.print()  # rich cuts off what is below the base line of the last line
    svg = console.export_svg(title="my-pipeline", unique_id="run")
    # The font of rich's template is on a server, which a picture in a page may not ask.
    svg = re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    return svg.replace("Fira Code, monospace", "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace")


def colored(line: str) -> Text:
    """Return a line with its counts, names and paths told apart by colors."""
    text = Text(line)
    text.highlight_regex(r"^\[\d+/\d+\]", "cyan")
    text.highlight_regex(r"\(\d+\.\d s\)", "bright_black")
    text.highlight_regex(r"^(Nothing to run: )?\d+ tasks: .*(?= \()", "bold yellow")
    text.highlight_regex(r"(?<=-> ).*", "blue")
    return text


if __name__ == "__main__":
    sys.exit(main())
