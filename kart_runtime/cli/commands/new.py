"""Command `kart new`: generate a project from the template."""

from __future__ import annotations

import argparse

from kart_runtime.cli.exit_codes import ExitCode
from kart_runtime.project.template.new import new_project


def execute(arguments: argparse.Namespace) -> int:
    """Generate the project; cookiecutter and the template's hooks print what there is to say."""
    names = ("project_name", "package_name", "description", "author", "storage", "ci")
    answers = {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
    code = new_project(
        arguments.words,
        answers,
        template=arguments.template,
        checkout=arguments.checkout,
        output_dir=arguments.output_dir,
        no_input=arguments.no_input,
        say=lambda line: print(line, flush=True),
    )
    if code in (ExitCode.OK, ExitCode.INTERRUPTED):
        return code
    return ExitCode.REFUSED
