"""The command line of this project: `python -m {{ cookiecutter.package_name }} --help`."""

from kart_runtime.cli import main

if __name__ == "__main__":
    raise SystemExit(main(package="{{ cookiecutter.package_name }}"))
