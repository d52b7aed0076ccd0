"""State plugins: what workers need of a program, sent before the calls that need it.

A plugin of Dask also reaches workers that join later. The first one holds the program's state; another follows when a
call brings a package or a definition that is new.
"""

from __future__ import annotations

import contextlib
import logging
import pickle
import sys
import time
from collections.abc import Iterable, Iterator
from types import FunctionType
from typing import Any

from kart_runtime.errors import CannotSend
from kart_runtime.execution.executors.dask.packages import (
    Package,
    TooLarge,
    files_left_out,
    imported_by,
    own_packages,
    pack,
    shortened_list,
)
from kart_runtime.execution.executors.dask.remote import make_state_plugin
from kart_runtime.execution.executors.dask.worker import ProgramState, plugin_name
from kart_runtime.execution.executors.pickling import DefinitionTable
from kart_runtime.execution.executors.program_state import Choices, LuigiConfiguration
from kart_runtime.storage import registry
from kart_runtime.storage.signing_keys import keyring
from kart_runtime.storage.time_limits import chosen_timeout

logger = logging.getLogger(__name__)

_TRIES = 3
_PAUSE = 0.5


class ModuleTracker(DefinitionTable):
    """Table of definitions that records the modules of what is pickled by reference, and by value."""

    def __init__(self) -> None:
        super().__init__(defines=True)
        self.by_reference: set[str] = set()
        self.by_value: set[str] = set()

    def pickled_by_reference(self, obj: type | FunctionType) -> bool:
        """Return whether workers can import a class or function, once they have this program's packages."""
        by_reference = super().pickled_by_reference(obj)
        (self.by_reference if by_reference else self.by_value).add(str(obj.__module__))
        return by_reference

    def packages(self) -> set[str]:
        """Return the packages of all those modules, and of what the code that is sent imports."""
        modules = set(self.by_reference)
        for name in self.by_value & sys.modules.keys():
            modules |= imported_by(sys.modules[name])
        return {name.partition(".")[0] for name in modules}


class StatePlugins:
    """The state plugins of one build."""

    def __init__(self, client: Any, build: str, table: ModuleTracker) -> None:
        self._client, self._build, self._table = client, build, table
        self._packages: set[str] = set()
        """The packages that have been looked at."""
        self._n_sent = self._n_definitions = self._n_modules = 0

    def send_state(self, classes: Iterable[type], folder: str | None, marks: Iterable[str]) -> None:
        """Gather the program's state, and send it with the packages of the task classes."""
        with contextlib.suppress(CannotSend):  # raised again when a task of that class is sent
            self._table.dumps(list(classes), "the task classes")
        registered = registry.tables()
        self._table.by_reference |= {entry.partition(":")[0] for table in registered for entry in table.values()}
        keys = keyring()
        key = "" if keys is None else keys.first
        state = pickle.dumps(
            ProgramState(LuigiConfiguration.gather(), registered, folder, tuple(marks), chosen_timeout(), key)
        )
        chosen = Choices.gather(self._table.takes)
        choices = self._table.dumps(chosen, "the parameters that the configuration overrides")
        self._send(state=state, choices=choices, packages=list(self._new_packages()))

    def send_new(self) -> int:
        """Send what is new since the last time, and return the number of plugins."""
        packages = list(self._new_packages())
        if packages or len(self._table.definitions) > self._n_definitions:
            self._send(state=b"", choices=b"", packages=packages)
        return self._n_sent

    def withdraw(self) -> None:
        """Unregister all of them, as far as the cluster can be reached."""
        for number in range(self._n_sent):
            with contextlib.suppress(Exception):
                self._client.unregister_worker_plugin(plugin_name(self._build, number))

    def _new_packages(self) -> Iterator[Package]:
        n_modules = len(self._table.by_reference) + len(self._table.by_value)
        if n_modules == self._n_modules:
            return
        self._n_modules = n_modules
        new = self._table.packages() - self._packages
        self._packages |= new
        for name, files in own_packages(new).items():
            self._packages.add(name)
            left = files_left_out(name)
            if left:
                logger.warning(
                    "Not sending %s of package %s to the Dask workers: such files may hold credentials. Name what a "
                    "task reads in [tool.setuptools.package-data] of pyproject.toml.",
                    shortened_list(left),
                    name,
                )
            try:
                yield pack(name, files)
            except TooLarge as error:
                logger.warning(
                    "Not sending package %s to the Dask workers: it has %s. Install it there, or keep data out of its "
                    "folder.",
                    name,
                    error,
                )

    def _send(self, packages: list[Package], **content: bytes) -> None:
        definitions = self._table.definitions[self._n_definitions :]
        plugin = make_state_plugin(packages=list(map(tuple, packages)), definitions=definitions, **content)
        for tries_left in reversed(range(_TRIES)):
            try:
                self._client.register_plugin(plugin, name=plugin_name(self._build, self._n_sent))
                break
            except OSError:  # a worker has died meanwhile; the others, and new ones, will have the plugin
                if not tries_left or self._client.status != "running":
                    raise
                time.sleep(_PAUSE)
        self._n_definitions += len(definitions)
        self._n_sent += 1
