"""gokart's name of the command line of luigi."""

from kart_runtime.luigi_command import run

__all__ = ["run"]
