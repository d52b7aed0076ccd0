"""What are the workers of a cluster told of a program? Its state and packages, before the work that needs them.

They are told in parts. A part is a plugin of Dask, which also reaches workers that come later. The first holds the
state; another follows when a task brings a package or a class that has no name. Called by `dask_cluster`;
`dask_worker` takes the parts over.
"""

from __future__ import annotations

import contextlib
import logging
import pickle
import sys
import time
from collections.abc import Iterable
from types import FunctionType
from typing import Any

from kart_runtime.errors import CannotSend
from kart_runtime.execution.executors.dask.packages import TooLarge, imported_by, own_packages, pack
from kart_runtime.execution.executors.dask.remote import make_part
from kart_runtime.execution.executors.dask.worker import State, part_name
from kart_runtime.execution.executors.pickling import DefinitionTable
from kart_runtime.execution.executors.program_state import Choices, LuigiConfiguration
from kart_runtime.storage.registry import STORES

logger = logging.getLogger(__name__)

_TRIES = 3
_PAUSE = 0.5


class NotingVocabulary(DefinitionTable):
    """A vocabulary that notes what the other side will have to import.

    Attributes
    ----------
    modules
        The modules whose classes or functions go by name.
    sent
        The modules whose classes or functions go as code.
    """

    def __init__(self) -> None:
        super().__init__(defines=True)
        self.modules: set[str] = set()
        self.sent: set[str] = set()

    def pickled_by_reference(self, obj: type | FunctionType) -> bool:
        """Return whether the other side can import a class or function, once it has this program's packages."""
        found = super().pickled_by_reference(obj)
        (self.modules if found else self.sent).add(str(obj.__module__))
        return found

    def packages(self) -> set[str]:
        """Return the packages of all those modules, and of what the code that is sent imports."""
        found = set(self.modules)
        for name in self.sent & sys.modules.keys():
            found |= imported_by(sys.modules[name])
        return {name.partition(".")[0] for name in found}


class Parts:
    """The parts of one build.

    Parameters
    ----------
    client
        To the cluster.
    build
        The build's name.
    vocabulary
        By which work is pickled.
    """

    def __init__(self, client: Any, build: str, vocabulary: NotingVocabulary) -> None:
        self._client, self._build, self._vocabulary = client, build, vocabulary
        self._state = self._choices = b""
        self._packages: set[str] = set()
        """The packages that have been looked at."""
        self._number = self._defined = self._looked = 0

    def gather(self, classes: Iterable[type], folder: str | None, marks: Iterable[str]) -> None:
        """Work out what the first part says, and send it.

        Parameters
        ----------
        classes
            The task classes, as far as they are known.
        folder, marks
            As in `State`.
        """
        with contextlib.suppress(CannotSend):  # told when a task of that class is sent
            self._vocabulary.dumps(list(classes), "the task classes")
        self._vocabulary.modules |= {entry.partition(":")[0] for entry in STORES.values()}
        self._state = pickle.dumps(State(LuigiConfiguration.gather(), dict(STORES), folder, tuple(marks)))
        chosen = Choices.gather(self._vocabulary.takes)
        self._choices = self._vocabulary.dumps(chosen, "the parameters that the configuration overrides")
        self.tell()

    def tell(self) -> int:
        """Send what has come up since the last time; return how many parts there are."""
        definitions = self._vocabulary.definitions[self._defined :]
        packages = self._new_packages()
        if definitions or packages or not self._number:
            self._send(
                packages=packages,
                definitions=definitions,
                state=b"" if self._number else self._state,
                choices=b"" if self._number else self._choices,
            )
            self._defined += len(definitions)
            self._number += 1
        return self._number

    def withdraw(self) -> None:
        """Have the cluster forget all of them, as far as it can be reached."""
        for number in range(self._number):
            with contextlib.suppress(Exception):
                self._client.unregister_worker_plugin(part_name(self._build, number))

    def _new_packages(self) -> list[tuple[str, str, bytes]]:
        seen = len(self._vocabulary.modules) + len(self._vocabulary.sent)
        if seen == self._looked:
            return []
        self._looked = seen
        found: list[tuple[str, str, bytes]] = []
        new = self._vocabulary.packages() - self._packages
        self._packages |= new
        for name, files in own_packages(new).items():
            self._packages.add(name)
            try:
                package = pack(name, files)
            except TooLarge as error:
                logger.warning(
                    "The package %s is not sent to the Dask workers, because it has %s. Install it there, or keep data "
                    "out of its folder.",
                    name,
                    error,
                )
            else:
                found.append((package.name, package.digest, package.archive))
        return found

    def _send(self, **content: Any) -> None:
        part = make_part(**content)
        for left in reversed(range(_TRIES)):
            try:
                self._client.register_plugin(part, name=part_name(self._build, self._number))
            except OSError:  # a worker has died under it; those that live, and those to come, will have the part
                if not left or self._client.status != "running":
                    raise
                time.sleep(_PAUSE)
            else:
                return
