"""Small process that starts one child, waits for it, and writes the resource usage that the kernel counted.

`child` runs ``python -I -S launcher.py FILE COMMAND...``. The launcher is needed because a process inherits the peak
memory of its parent through ``exec``: without it, no child would measure less than the bench itself.
"""

import os
import sys
import time


def main(file: str, command: list[str]) -> int:
    """Run the command and write its status, CPU seconds, wall seconds and peak memory (KiB) to the file."""
    started = time.perf_counter()
    child = os.posix_spawn(command[0], command, os.environ)
    # Only wait4 returns the usage of this one child and of the processes that the child waited for.
    _, status, usage = os.wait4(child, 0)
    wall = time.perf_counter() - started
    with open(file, "w", encoding="ascii") as answer:  # noqa: PTH123  # pathlib would double this process's memory
        answer.write(f"{status} {usage.ru_utime + usage.ru_stime} {wall} {usage.ru_maxrss}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
