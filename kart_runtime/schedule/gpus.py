"""GPUs that tasks are given: which ones the program sees, and which are free."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
from collections.abc import Sequence

_DUST = 1e-9
_ANSWER_SECONDS = 20.0


class Gpus:
    """GPUs and the free part of each. A task gets whole ones, or a fraction of one, that other tasks share."""

    def __init__(self, names: Sequence[str]) -> None:
        self._free = dict.fromkeys(names, 1.0)

    def __len__(self) -> int:
        return len(self._free)

    def fits(self, amount: float) -> bool:
        """Return whether that many are free, or that part of one."""
        return amount <= 0 or len(self._choose(amount)) >= math.ceil(amount)

    def take(self, amount: float) -> tuple[str, ...]:
        """Take free ones and return their names; without any GPU, or for none of it, the empty tuple."""
        names = self._choose(amount) if amount > 0 else ()
        for name in names:
            self._free[name] -= min(amount, 1.0)
        return names

    def give_back(self, names: Sequence[str], amount: float) -> None:
        """Release what was taken."""
        for name in names:
            self._free[name] = min(self._free[name] + min(amount, 1.0), 1.0)

    def _choose(self, amount: float) -> tuple[str, ...]:
        part = min(amount, 1.0)
        free = [name for name, left in self._free.items() if left >= part - _DUST]
        if part < 1:  # the fullest one, so that whole ones stay free
            free.sort(key=self._free.__getitem__)
        return tuple(free[: math.ceil(amount)])


def visible_gpus(number: float | None) -> tuple[str, ...]:
    """Return the names of the GPUs that this program may use; `number` is how many the configuration states.

    They are those of ``CUDA_VISIBLE_DEVICES``, where it is set; else as many as are stated, or as nvidia-smi lists.
    """
    variable = os.environ.get("CUDA_VISIBLE_DEVICES")
    if variable is not None:
        names = _names(variable)
        return names if number is None else names[: math.ceil(number)]
    return tuple(map(str, range(_listed() if number is None else math.ceil(number))))


def _names(variable: str) -> tuple[str, ...]:
    """Return the devices in ``CUDA_VISIBLE_DEVICES``; CUDA ignores all from the first invalid one on."""
    names: list[str] = []
    for name in map(str.strip, variable.split(",")):
        if not name or name.startswith("-") or name in names or name == "NoDevFiles":
            break
        names.append(name)
    return tuple(names)


def _listed() -> int:
    """Return the number of GPUs that nvidia-smi lists; 0 without it."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return 0
    try:
        answer = subprocess.run(  # noqa: S603
            [command, "--list-gpus"], capture_output=True, text=True, timeout=_ANSWER_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return 0
    return sum(line.startswith("GPU ") for line in answer.stdout.splitlines())
