"""Parameters that have no value and no default: which lines of which YAML file would give them one."""

from __future__ import annotations

from collections.abc import Sequence

import luigi

from kart_runtime.edits.python_source import CannotEdit
from kart_runtime.project.mirror import mirror
from kart_runtime.project.project import Project
from kart_runtime.project.refactor.project_files import ProjectFiles
from kart_runtime.task.parameters.resolution import MissingValues


def lines_to_write(project: Project, task: type[luigi.Task], missing: Sequence[str]) -> str:
    """Return a message with the parameters that have no value, and the lines that set them."""
    name, lines = task.__name__, "\n".join(f"         {line}" for line in _lines(task, missing, "VALUE"))
    short = _module(project, task)
    where = f"Write it to {project.relative(mirror(project, short).conf)}" if short else "Write it to the configuration"
    return (
        f"{name} needs a value for {' and '.join(missing)}, which {'has' if len(missing) == 1 else 'have'} no default. "
        f"{where}:\n{lines}\n"
        f"       or, for one run, add {name}.{missing[0]}=VALUE to the command, or run a task that sets it."
    )


def write_missing(project: Project, error: MissingValues) -> str | None:
    """Write the lines of the parameters without a value, for a person to fill in; return what was written."""
    task = error.task
    module = _module(project, task)
    if not module:
        return None
    files = ProjectFiles(project)
    path = mirror(project, module).conf
    is_new = not path.exists()
    try:
        known = files.yaml(path).keys()
        if task.__name__ in known:
            _add_lines(files, task, error.names)
        else:
            block = "".join(f"{line}\n" for line in _lines(task, error.names, "# write a value"))
            files.add_keys(path, {task.__name__: block})
    except CannotEdit:
        return None  # the check names the lines, and a person writes them
    files.draft.commit()
    name = project.relative(path)
    return f"{'wrote' if is_new else 'changed'} {name}: write a value for {' and '.join(error.names)}"


def _add_lines(files: ProjectFiles, task: type[luigi.Task], names: Sequence[str]) -> None:
    """Add parameters to a task that its file has already."""
    path = mirror(files.project, _module(files.project, task)).conf
    file = files.yaml(path)
    block = next(block for block in file.blocks() if block.key == task.__name__)
    lines = file.text[block.start : block.end].rstrip().splitlines()
    key = next(number for number, line in enumerate(lines) if line.startswith(task.__name__))
    if lines[key].partition(":")[2].partition("#")[0].strip() not in ("", "{}"):
        raise CannotEdit("has its parameters in braces")
    indent = next((line[: len(line) - len(line.lstrip())] for line in lines[key + 1 :] if line.strip()), "  ")
    added = [f"{indent}{name}: # write a value" for name in names]
    text = "\n".join([*lines[:key], lines[key].replace(" {}", ""), *added, *lines[key + 1 :]]) + "\n"
    files.draft.write(path, (file.text[: block.start] + text + file.text[block.end :]).encode())


def _lines(task: type[luigi.Task], names: Sequence[str], value: str) -> list[str]:
    return [f"{task.__name__}:", *(f"  {name}: {value}" for name in names)]


def _module(project: Project, task: type[luigi.Task]) -> str:
    """Return the module of a task below the project's package; "" for a task of another package."""
    package, _, module = task.__module__.partition(f"{project.package}.")
    return module if not package else ""


def missing_values(error: BaseException | None) -> MissingValues | None:
    """Return the missing values that an error tells about, itself or by its cause."""
    while error is not None and not isinstance(error, MissingValues):
        error = error.__cause__
    return error
