"""Single failures of each operation of each store, and what the build and the next one make of it.

    python -m tests.faults.stores --all --json
    python -m tests.faults.stores --store s3 --every 5 --seed 1 [--engine gokart --python PATH] [--broken swallow]

A small pipeline is built with its n-th operation failing, once for each n: calls of the system on local files, requests
to S3 and GCS through the tests' proxy, with one kind of fault after the other. The build returns the right value, or an
error that names what failed; then a build in another process, without a fault, returns the right value. A fault counts
only when it was delivered. With `--broken` the store swallows failures of its writes, or stores half of the bytes: the
check then has to find a case that is not right.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from tests.runtime import servers

STORES = ("local", "s3", "gs")
HOWS = ("503 SlowDown", "reset", "lost", "cut answer", "corrupt", "403 AccessDenied", "404 NoSuchKey")
_NAMES = ("Errno", "workspace", "ws-", "s3://", "gs://", "HeadObject", "PutObject", "GetObject", "ListObjects")
"""What an error says that names what failed."""


class Engine:
    """A process that builds the pipeline, for each line that it gets."""

    def __init__(
        self, name: str = "kart_runtime", python: str = sys.executable, broken: str = "", only: str = ""
    ) -> None:
        program = os.path.join(os.path.dirname(__file__), "stores_program.py")
        environ = {**os.environ, "FAULTS_ENGINE": name, "FAULTS_BROKEN": broken, "KART_NETWORK_TIMEOUT": "5"}
        environ["FAULTS_OPERATIONS"] = only
        command = [python, program]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen(command, text=True, env=environ, cwd=tempfile.gettempdir(), **pipes)
        assert json.loads(self._read())["ready"] == name

    def build(self, workspace: str, fault: int = 0, *, check: bool = True) -> dict[str, Any]:
        """Build in a workspace, and return how that ended."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"workspace": workspace, "fault": fault, "check": check}) + "\n")
        self._process.stdin.flush()
        found: dict[str, Any] = json.loads(self._read())
        return found

    def _read(self) -> str:
        assert self._process.stdout is not None
        line = str(self._process.stdout.readline())
        if not line:
            raise RuntimeError(f"the engine has ended: {self._process.args!r}")
        return line

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


@contextlib.contextmanager
def _place(store: str) -> Iterator[tuple[str, servers.Proxy | None]]:
    """Yield the url of a folder, and the proxy before its server."""
    if store == "local":
        with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
            yield folder, None
        return
    with servers.s3_server() if store == "s3" else servers.gcs_server() as proxy:
        servers.make_bucket(proxy, "faults")
        before = dict(os.environ)
        os.environ |= servers.environment(proxy)
        os.environ.pop("AWS_PROFILE", None)
        with tempfile.TemporaryDirectory() as cache:
            os.environ["KART_CACHE_DIR"] = cache
            try:
                yield f"{store}://faults", proxy
            finally:
                os.environ.clear()
                os.environ |= before


def check(
    store: str,
    *,
    every: int = 1,
    seed: int = 1,
    engine: str = "kart_runtime",
    python: str = sys.executable,
    broken: str = "",
    only: str = "",
    hows: Sequence[str] = HOWS,
    each_how: bool = False,
) -> dict[str, Any]:
    """Let each n-th operation of a store fail; return how many there are, what was delivered, and the outcomes.

    `only` names the calls of the system that fail on local files, such as "replace"; any by default.
    """
    print(f"{engine}, {store}: every {every}, seed {seed}", file=sys.stderr, flush=True)
    chance = random.Random(seed)
    outcomes, delivered, bad = Counter[str](), Counter[str](), []
    with (
        _place(store) as (root, proxy),
        contextlib.closing(Engine(engine, python, broken, only)) as faulty,
        contextlib.closing(Engine(engine, python, broken, only)) as clean,
    ):
        faulty.build(f"{root}/ws-warm", check=False)
        total = _operations(faulty, f"{root}/ws-count", proxy)
        numbers = range(1 + chance.randrange(every), total + 1, every)
        for how, number in _cases(hows if proxy is not None else ("EIO",), numbers, each=each_how):
            workspace = f"{root}/ws-{how[:3]}{how[-2:]}-{number}".replace(" ", "")
            found = _case(faulty, clean, workspace, proxy, how, number)
            if found["delivered"]:
                delivered[how] += found["delivered"]
                outcomes[found["outcome"]] += 1
                if found["outcome"] not in {"right", "told"}:
                    bad.append(f"{how} at {number}: {found['outcome']}: {found['text'][:300]}")
    table = {"store": store, "engine": engine, "seed": seed, "operations": total}
    return table | {"delivered": dict(delivered), "outcomes": dict(outcomes), "bad": bad}


def _cases(hows: Sequence[str], numbers: Sequence[int], *, each: bool) -> list[tuple[str, int]]:
    """Return the kind of fault for each operation: one after the other, or each of them."""
    if each:
        return [(how, number) for how in hows for number in numbers]
    return [(hows[place % len(hows)], number) for place, number in enumerate(numbers)]


def _operations(engine: Engine, workspace: str, proxy: servers.Proxy | None) -> int:
    if proxy is not None:
        proxy.reset()
    found = engine.build(workspace, check=False)
    return int(found["operations"]) if proxy is None else len(proxy.requests)


def _case(
    faulty: Engine, clean: Engine, workspace: str, proxy: servers.Proxy | None, how: str, number: int
) -> dict[str, Any]:
    """Build with one failing operation, and then without; return the outcome of both."""
    if proxy is None:
        first = faulty.build(workspace, number)
        delivered = first["delivered"]
    else:
        proxy.reset()
        proxy.fail(how, after=number - 1)
        first = faulty.build(workspace)
        delivered = sum(proxy.delivered.values())
        proxy.reset()
    second = clean.build(workspace)
    outcome = {"right": "right", "error": "told"}.get(first["outcome"], first["outcome"])
    if first["outcome"] == "error" and not any(name in first["text"] for name in _NAMES):
        outcome = "an error that names nothing"
    if second["outcome"] != "right":
        outcome, first = f"{outcome}, and then the next build: {second['outcome']}", second
    return {"outcome": outcome, "delivered": delivered, "text": first["text"]}


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--store", choices=STORES, action="append", help="store (default: all)")
    parser.add_argument("--every", type=int, default=5, help="fail each n-th operation only (default: 5)")
    parser.add_argument("--all", action="store_true", help="fail each operation")
    parser.add_argument("--each-how", action="store_true", help="with each kind of fault, and not one after the other")
    parser.add_argument("--seed", type=int, default=1, help="which of them is the first (default: 1)")
    parser.add_argument("--engine", choices=("kart_runtime", "gokart"), default="kart_runtime", help="what builds")
    parser.add_argument("--python", default=sys.executable, help="interpreter that has the engine")
    parser.add_argument("--broken", choices=("swallow", "half"), default="", help="control: break the store")
    parser.add_argument("--only", default="", help="calls of the system that fail on local files (default: any)")
    parser.add_argument("--json", action="store_true", help="print a line of JSON for each store")
    arguments = parser.parse_args()
    bad = 0
    for store in arguments.store or STORES:
        every = 1 if arguments.all else arguments.every
        found = check(
            store,
            every=every,
            seed=arguments.seed,
            engine=arguments.engine,
            python=arguments.python,
            broken=arguments.broken,
            only=arguments.only,
            each_how=arguments.each_how,
        )
        bad += len(found["bad"])
        print(json.dumps(found) if arguments.json else "\n".join(f"{key}: {found[key]}" for key in found), flush=True)
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
