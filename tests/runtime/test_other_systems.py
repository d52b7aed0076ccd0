"""kart imports, and runs a pipeline, where what only POSIX systems have is missing.

Other libraries are loaded before, since they look for themselves on which system they are.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import kart_runtime

README = Path(__file__).parents[2] / "README.md"

POSIX_ONLY = '''
import importlib, os, pkgutil, select, signal, socket, sys, time

MODULES = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}
NAMES = {
    os: """
        O_CLOEXEC O_DIRECTORY O_DSYNC O_NOCTTY O_NOFOLLOW O_NONBLOCK O_SYNC O_TMPFILE WNOHANG WIFSIGNALED chown chroot
        copy_file_range fchdir fchmod fchown fork forkpty getegid geteuid getgid getgroups getloadavg getpgid
        getpriority getuid killpg lchown memfd_create mkfifo mknod nice openpty pipe2 posix_fadvise posix_fallocate
        posix_spawn pread preadv pwrite pwritev readv register_at_fork sched_getaffinity sched_setaffinity
        sched_yield sendfile setpgid setsid setuid statvfs fstatvfs sysconf uname wait wait3 wait4 writev
    """,
    select: "epoll kqueue poll POLLIN POLLOUT",
    signal: """
        SIGALRM SIGCHLD SIGCONT SIGHUP SIGKILL SIGPIPE SIGQUIT SIGSTOP SIGTSTP SIGUSR1 SIGUSR2 SIGWINCH alarm pause
        pthread_kill pthread_sigmask setitimer siginterrupt sigpending sigtimedwait sigwait sigwaitinfo SIG_BLOCK
        SIG_UNBLOCK SIG_SETMASK
    """,
    socket: "AF_UNIX recv_fds send_fds",
    time: "CLOCK_BOOTTIME CLOCK_MONOTONIC CLOCK_REALTIME CLOCK_PROCESS_CPUTIME_ID clock_gettime clock_settime tzset",
}

class Missing:
    """A finder before all others, by which the system's modules do not exist."""
    def find_spec(self, name, path=None, target=None):
        if name in MODULES:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

def take_away():
    """Take away what only POSIX systems have, and forget kart's modules, so that they are imported without it."""
    sys.meta_path.insert(0, Missing())
    for name in [name for name in sys.modules if name in MODULES or name.partition(".")[0] == "kart_runtime"]:
        del sys.modules[name]
    for module, names in NAMES.items():
        for name in names.split():
            if hasattr(module, name):
                delattr(module, name)

def import_all():
    """Import all modules of the package, and return their names."""
    package = importlib.import_module("kart_runtime")
    found = pkgutil.walk_packages(package.__path__, "kart_runtime.", onerror=raise_it)
    left_out = {"kart_runtime.__main__", "kart_runtime.gokart.mypy"}
    names = [module.name for module in found if module.name not in left_out]
    for name in names:
        importlib.import_module(name)
    return names

def raise_it(name):
    raise

def lock_like_windows():
    """Give the module of Windows that locks bytes of a file."""
    import fcntl, types

    def locking(descriptor, mode, length):
        kind = fcntl.LOCK_EX | fcntl.LOCK_NB if mode else fcntl.LOCK_UN
        try:
            fcntl.lockf(descriptor, kind, length, os.lseek(descriptor, 0, os.SEEK_CUR))
        except BlockingIOError as error:
            raise PermissionError(*error.args) from None

    module = sys.modules["msvcrt"] = types.ModuleType("msvcrt")
    module.locking, module.LK_NBLCK, module.LK_UNLCK = locking, 2, 0

if LOADED:
    import filelock
import_all()
if LOADED:
    lock_like_windows()  # others look by it on which system they are
take_away()
'''

IMPORT = """
names = import_all()
assert len(names) > 100, names
assert not MODULES & set(sys.modules)
from kart_runtime import cli
try:
    cli.main(["--help"])
except SystemExit as ended:
    assert not ended.code
"""

BUILD = """
from kart_runtime import TaskOnKart, build

class Part(TaskOnKart[int]):
    number = luigi.IntParameter()

    def run(self):
        self.dump(self.number)

class Whole(TaskOnKart[int]):
    def requires(self):
        return [Part(number=number) for number in range(5)]

    def run(self):
        self.dump(sum(self.load()))

assert build(Whole(rerun=True), executor={executor!r}, workers={workers}, locks={locks!r}) == 10
"""


def run(code: str, loaded: bool = True) -> str:
    environment = {"PYTHONPATH": str(Path(kart_runtime.__file__).parents[1]), "HOME": ".", "PATH": "", "USER": "me"}
    done = subprocess.run(
        [sys.executable, "-c", f"LOADED = {loaded}\n{POSIX_ONLY}{code}"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_module_is_imported():
    assert "usage" in run(IMPORT).lower()


def test_the_example_of_the_readme_runs():
    example = re.search(r"```python\n(.*?)```", README.read_text(), re.DOTALL)[1]
    for _ in range(2):
        assert run(example) == "45\n"


@pytest.mark.parametrize(
    ("executor", "workers", "locks"),
    [("serial", 1, "auto"), ("threads", 2, "none"), ("threads", 2, "file"), ("serial", 1, "workspace")],
)
def test_builds_run(executor, workers, locks):
    run("import luigi\n" + BUILD.format(executor=executor, workers=workers, locks=locks))


@pytest.mark.parametrize("locks", ["file", "workspace"])
def test_a_system_that_cannot_lock_files_is_an_error_before_anything_runs(locks):
    script = f"""
from kart_runtime import TaskOnKart, build
from kart_runtime.errors import ConfigError

class Never(TaskOnKart[int]):
    def run(self):
        print("ran")

try:
    build(Never(), locks={locks!r})
except ConfigError as error:
    print(error)
"""
    told = "run.locks: this system cannot lock files (expected none or redis://HOST:PORT)\n"
    assert run(script, loaded=False) == told
