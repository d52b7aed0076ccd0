"""How is one child measured? By a small process that starts it, waits and writes down what the kernel has counted.

``child`` runs ``python -I -S launcher.py FILE COMMAND...``. It stands between because a process inherits the peak
memory of the one that started it, through ``exec``: without it, nothing would measure less than the bench itself.
"""

import os
import sys
import time


def main(file: str, command: list[str]) -> int:
    """Run the command and write its status, CPU seconds, wall seconds and peak memory (KiB) to the file."""
    started = time.perf_counter()
    child = os.posix_spawn(command[0], command, os.environ)
    # wait4 and nothing simpler: only it gives the usage of this one child and of what the child waited for.
    _, status, usage = os.wait4(child, 0)
    wall = time.perf_counter() - started
    with open(file, "w", encoding="ascii") as answer:  # noqa: PTH123  # pathlib would double this process's memory
        answer.write(f"{status} {usage.ru_utime + usage.ru_stime} {wall} {usage.ru_maxrss}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
