"""Generation of a project by `kart new`: cookiecutter with the template that the engine brings, or another one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from kart_runtime.project.template.record import RECORD, TemplateError, read_record
from kart_runtime.project.template.render import call_cookiecutter, check_answers, require_cookiecutter
from kart_runtime.project.template.sources import (
    DIRECTORY,
    Template,
    clone,
    is_git,
    open_files,
    open_installed,
    without_password,
)


def new_project(
    words: Sequence[str],
    answers: Mapping[str, str],
    *,
    template: str | None,
    checkout: str | None,
    output_dir: str,
    no_input: bool,
    say: Callable[[str], None],
) -> int:
    """Generate a project, the same as `cookiecutter --directory template` with these answers.

    Parameters
    ----------
    words
        The project's name, and answers as KEY=VALUE.
    answers
        Answers by option.
    template
        Path or URL of the template's repository, or a wheel of the engine; None: the template of this engine.
    checkout
        Branch, tag or commit of the repository.
    output_dir
        Folder in which the project's folder is created.
    no_input
        Accept the defaults of the prompts that have no answer.
    say
        Callback that receives the lines to print.

    Returns
    -------
    int
        Exit code of cookiecutter: 0, 2 if nothing was generated, 130 after Ctrl-C.
    """
    require_cookiecutter("kart new")
    answers = {**_from_words(words), **answers}
    with tempfile.TemporaryDirectory(prefix="kart-new-", ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        source = _open(template, checkout, folder, say)
        check_answers(source, answers)
        code, project, _ = call_cookiecutter(
            str(source.repository),
            directory=DIRECTORY,
            no_input=no_input,
            extra_context=answers,
            output_dir=output_dir,
        )
        if project is not None and source.repository.is_relative_to(folder):
            record = replace(read_record(project), source=source.source, commit=source.commit, dirty=False)
            (project / RECORD).write_bytes(record.to_json())
    return code


def _open(template: str | None, checkout: str | None, folder: Path, say: Callable[[str], None]) -> Template:
    """Return the template as files: a local folder as it is, anything else below `folder`."""
    if template is None:
        source = open_installed(folder / "template")
    elif is_git(template) and not (checkout is None and Path(template).is_dir()):
        say(f"Cloning {without_password(template)}.")
        history = clone(template, folder / "clone")
        return history.checkout(history.resolve(checkout), DIRECTORY, folder / "template")
    else:
        source = open_files(template, folder / "template")
    if checkout is not None:
        raise TemplateError(f"--checkout needs --template with a git repository, and {source.source} is none.")
    return source


def _from_words(words: Sequence[str]) -> dict[str, str]:
    """Return the answers among the words: KEY=VALUE, and a word without '=' as the project's name."""
    answers: dict[str, str] = {}
    for word in words:
        name, found, value = word.partition("=")
        if not found:
            name, value = "project_name", word
            if "/" in word or os.sep in word:
                raise TemplateError(
                    f"'{word}' is a path, but a project's name is expected. Pass the folder as --output-dir."
                )
        if name in answers:
            raise TemplateError(f"{name} is given twice: {answers[name]!r} and {value!r}.")
        answers[name] = value
    return answers
