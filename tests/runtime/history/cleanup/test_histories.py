"""After any history, gc deletes nothing that a slow model needs, and all that is neither needed nor young.

The model computes from scratch, from what the test itself knows of each run, which tasks are needed; it reads no file
of a run. A check that cannot fail proves nothing: with a gc that forgets what tasks have yielded, this one fails.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from kart_runtime.history import run_header
from kart_runtime.history.cleanup import garbage as garbage_module
from kart_runtime.history.cleanup.garbage import find_garbage, remove
from kart_runtime.history.cleanup.local_files import UnsafeWorkspace
from kart_runtime.history.cleanup.retention import DAY, RetentionPolicy
from kart_runtime.history.ledger import Ledger, RunTasks
from kart_runtime.history.records import _newest_runs
from kart_runtime.history.run_header import RunInfo
from kart_runtime.history.runs import list_files, runs_folder
from kart_runtime.history.used import add_used
from kart_runtime.storage.registry import store_for
from kart_runtime.storage.target import OutputRecord

START = 1_780_000_000.0
_numbers = itertools.count()

GRAPH = {
    "RootA": (["Mid 0"], ["Leaf 3"]),
    "RootB": (["Mid 1", "Leaf 0"], []),
    "Mid": (["Leaf 1", "Leaf 2"], ["Deep 0"]),
    "Leaf": ([], []),
    "Deep": (["Leaf 4"], []),
    "Input": ([], []),
}
"""Class to what its tasks require, and what their `run()` yields: a class and a number that is added to their own."""

OUTPUTS = {
    "RootA": ["a/RootA_{id}.pkl"],
    "RootB": ["RootB_{id}.csv", "b/RootB_{id}.csv.gz"],
    "Mid": ["Mid_{id}.pkl", "Mid_{id}.parquet"],
    "Leaf": ["Leaf_{id}.pkl"],
    "Deep": ["Deep_{id}"],
    "Input": ["input.csv"],
}


def id_of(name):
    return f"{name}".encode().hex().ljust(32, "0")[:32]


def upstream(name, which):
    cls, number = name.split()
    return [f"{each.split()[0]} {(int(number) + int(each.split()[1])) % 6}" for each in GRAPH[cls][which]]


def closure(names, *, yields):
    found, left = set(), list(names)
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += upstream(name, 0) + (upstream(name, 1) if yields else [])
    return found


def with_yields(names, yielding):
    """Return tasks with all that they require, and that those of them have yielded of which it is known."""
    found, left = set(), list(names)
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += upstream(name, 0) + (upstream(name, 1) if name in yielding else [])
    return found


@dataclass
class Past:
    """What the test knows of a run."""

    id: str
    group: tuple[str, str]
    began: float
    written: float
    tasks: set[str]
    yielding: set[str] = field(default_factory=set)
    wrote: set[str] = field(default_factory=set)
    state: str = "done"
    lost: bool = False


@dataclass
class World:
    """A workspace, its clock, and all that has happened there."""

    workspace: str
    now: float = START
    runs: list[Past] = field(default_factory=list)
    written: dict[str, float] = field(default_factory=dict)
    made: set[str] = field(default_factory=set)

    def urls(self, name):
        cls = name.split()[0]
        return [f"{self.workspace}/{path.format(id=id_of(name))}" for path in OUTPUTS[cls]]

    def exists(self, url):
        store, key = store_for(url)
        return store.stat(key) is not None

    def put(self, url):
        store, key = store_for(url)
        with store.write(key) as file:
            file.write(b"data")
        self.date(url)
        self.written[url] = self.now

    def date(self, url):
        store, key = store_for(url)
        if url.startswith("memory:"):
            store._objects[key] = store._objects[key]._replace(modified=self.now)
        else:
            os.utime(key, (self.now, self.now))

    def run(self, project, root, number, state, skew):
        """Build a root: what is missing runs, with what it yields; a run may fail, die, or go on."""
        moment = self.now + skew * DAY
        run_id = f"{datetime.fromtimestamp(moment, UTC):%Y%m%dT%H%M%SZ}-{next(_numbers):05x}{os.urandom(4).hex()}"
        listed = _newest_runs(sorted(list_files(*runs_folder(self.workspace))), [])
        ledger = Ledger(run_id, RunInfo(project=project))
        ledger.root_classes, ledger.runs_before = [f"m.{root}"], lambda _: listed
        past = Past(run_id, (project, root), moment, self.now, closure([f"{root} {number}"], yields=False), state=state)
        self.record(ledger, past.tasks)
        left = sorted(past.tasks)
        failing = left[0] if state == "failed" else ""
        while left:
            name = left.pop()
            if name == failing or all(map(self.exists, self.urls(name))):
                continue
            others = upstream(name, 1)
            if others:
                past.yielding.add(name)
                self.record(ledger, closure(others, yields=False))
                users = {"m": {others[0].split()[0]: [id_of(others[0])]}}
                add_used(self.workspace, run_id, id_of(name), users, [id_of(others[0])])
                left += sorted(closure(others, yields=False) - past.tasks)
                past.tasks |= closure(others, yields=False)
            self.write(ledger, name)
            past.wrote.add(name)
        if state in {"done", "failed"}:
            ledger.finish(state, {})
        ledger.close()
        self.runs.append(past)
        self.date_run(past)

    def write(self, ledger, name):
        for url in self.urls(name):
            self.put(url)
        outputs = tuple(OutputRecord(url, 4, "") for url in self.urls(name))
        record = {"task": name.split()[0], "module": "m", "unique_id": id_of(name), "state": "done", "seconds": 1.0}
        record |= {"started": "", "seed": None, "params": {}, "outputs": outputs, "log_files": ()}
        ledger.append(self.workspace, record | {"error": "", "reason": ""})
        self.made.add(name)

    def record(self, ledger, names):
        classes: dict[str, list[str]] = {}
        for name in sorted(names):
            classes.setdefault(name.split()[0], []).append(name)
        ids = {cls: list(map(id_of, own)) for cls, own in classes.items()}
        requires = [[id_of(other) for other in upstream(name, 0)] for own in classes.values() for name in own]
        ledger.record_tasks(self.workspace, RunTasks({"m": ids}, requires, "r" * len(requires)), runs=False)

    def date_run(self, run):
        """Let the files of a run be written now."""
        for stat in list_files(*runs_folder(self.workspace)):
            if run.id in stat.key:
                self.date(f"memory://{stat.key}" if self.workspace.startswith("memory:") else stat.key)
        run.written = self.now

    def lose(self, number):
        """Lose the file of a run, as by a mistake of somebody."""
        kept = [run for run in self.runs if not run.lost]
        if not kept:
            return
        run = kept[number % len(kept)]
        store, folder = runs_folder(self.workspace)
        for stat in list_files(store, folder):
            if run.id in stat.key:
                store.delete(stat.key)
        run.lost = True

    def end(self, number):
        """Let a run die that goes on."""
        running = [run for run in self.runs if run.state == "running"]
        if running:
            running[number % len(running)].state = "killed"

    def delete(self, number):
        """Delete the outputs of a task by hand."""
        if self.made:
            for url in self.urls(sorted(self.made)[number % len(self.made)]):
                store, key = store_for(url)
                store.delete(key)

    def gc(self, runs, days):
        self.collect(RetentionPolicy(runs, days))

    # -- the model ---------------------------------------------------------------------------------------------------

    def needed(self, policy):
        """Return the tasks that are needed, computed from all runs that are there."""
        runs = [run for run in self.runs if not run.lost]
        kept = [
            run
            for run in runs
            if run.state == "running" or max(run.began, run.written) > self.now - max(policy.days, 1.0) * DAY
        ]
        for group in {run.group for run in runs}:
            own = [run for run in runs if run.group == group]
            for some in (own, [run for run in own if run.state == "done"]):
                kept += sorted(some, key=lambda run: run.id)[-policy.runs :]
                kept += sorted(some, key=lambda run: (run.written, run.id))[-policy.runs :]
        known = {name for run in runs for name in run.yielding}
        return with_yields({name for run in kept for name in run.tasks}, known)

    def gaps(self):
        """Return the runs that another one has found before it, and whose files are lost."""
        store, folder = runs_folder(self.workspace)
        gone = {run.id for run in self.runs if run.lost}
        named = set()
        for stat in list_files(store, folder):
            with store.open(stat.key) as file:
                named |= set(json.loads(file.readline()).get("previous", []))
        return gone & named

    def collect(self, policy):
        """Run gc, and compare what is left with the model."""
        before = {url for name in self.made for url in self.urls(name) if self.exists(url)}
        mine = f"{self.workspace}/mine_{id_of('Leaf 9')}.pkl"
        self.put(mine)
        if self.gaps():
            with pytest.raises(UnsafeWorkspace, match="is missing"):
                find_garbage([self.workspace], Path.cwd(), policy, self.now)
            assert all(map(self.exists, before)), "a gap did not stop the deletion"
            return
        needed = self.needed(policy)
        remove(find_garbage([self.workspace], Path.cwd(), policy, self.now), self.now)
        self.check(before, needed, {name for run in self.runs if not run.lost for name in run.wrote})
        assert self.exists(mine)
        listed = {stat.key for stat in list_files(*runs_folder(self.workspace))}
        self.runs = [run for run in self.runs if run.lost or any(run.id in key for key in listed)]

    def check(self, before, needed, named):
        for name in self.made:
            for url in before.intersection(self.urls(name)):
                young = self.written[url] >= self.now - DAY
                if name in needed or young or id_of(name) not in url or name not in named:
                    assert self.exists(url), f"{name} is needed, and gone"
                else:
                    assert not self.exists(url), f"{name} is neither needed nor young, and stays"


PROJECTS, ROOTS = ("/p/one", "/p/two"), ("RootA", "RootB", "Input")

EVENT = st.one_of(
    st.tuples(
        st.just("run"),
        st.sampled_from(PROJECTS),
        st.sampled_from(ROOTS),
        st.integers(0, 3),
        st.sampled_from(["done", "done", "done", "failed", "killed", "running"]),
        st.sampled_from([0, 0, 0, -40, 3]),
    ),
    st.tuples(st.just("end"), st.integers(0, 5)),
    st.tuples(st.just("delete"), st.integers(0, 30)),
    st.tuples(st.just("lose"), st.integers(0, 5)),
    st.tuples(st.just("gc"), st.integers(1, 2), st.sampled_from([0.0, 5.0, 30.0])),
)
EVENTS = st.lists(st.tuples(st.sampled_from([0.01, 2.0, 20.0, 45.0]), EVENT), min_size=2, max_size=10)


def play(events, workspace, monkeypatch):
    world = World(workspace)
    monkeypatch.setattr(run_header, "this_process", lambda: "unknown")
    monkeypatch.setattr(time, "time", lambda: world.now)
    for days, (what, *values) in events:
        world.now += days * DAY
        for run in world.runs:
            if run.state == "running" and not run.lost:
                world.date_run(run)  # it goes on, and says so
        getattr(world, what)(*values)
    world.gc(1, 30.0)
    world.now += 100 * DAY
    world.gc(1, 30.0)


def workspace_for(tmp_path, kind):
    name = f"h{os.getpid()}_{next(_numbers)}"
    return f"memory://{name}" if kind == "memory" else str(tmp_path / name)


def check_histories(tmp_path, kind, examples, number):
    """Play random histories; the seed is part of the failure's text."""
    print(f"seed {number}")

    @seed(number)
    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(EVENTS)
    def histories(events):
        with pytest.MonkeyPatch.context() as patch:
            play(events, workspace_for(tmp_path, kind), patch)

    histories()


@pytest.mark.parametrize(("kind", "examples"), [("memory", 60), ("disk", 15)])
def test_what_is_needed_stays_and_the_rest_goes_after_any_history(tmp_path, kind, examples):
    check_histories(tmp_path, kind, examples, int(os.environ.get("KART_SEED", "17")))


def test_a_gc_that_forgets_what_was_yielded_is_found_out(tmp_path, monkeypatch):
    events = [(0.01, ("run", "/p/one", "RootA", 0, "done", 0)), (45.0, ("run", "/p/one", "RootA", 0, "done", 0))]
    play(events, workspace_for(tmp_path, "memory"), monkeypatch)
    monkeypatch.setattr(garbage_module._History, "upstream", lambda *_: frozenset())
    with pytest.raises(AssertionError, match="is needed, and gone"):
        play(events, workspace_for(tmp_path, "memory"), monkeypatch)


def test_a_gc_that_does_nothing_is_found_out(tmp_path, monkeypatch):
    events = [(0.01, ("run", "/p/one", "RootA", 0, "done", 0)), (45.0, ("run", "/p/one", "RootA", 1, "done", 0))]
    play(events, workspace_for(tmp_path, "memory"), monkeypatch)
    monkeypatch.setattr(f"{__name__}.remove", lambda *_: None)
    with pytest.raises(AssertionError, match="neither needed nor young"):
        play(events, workspace_for(tmp_path, "memory"), monkeypatch)


def test_a_gc_that_sees_no_gap_is_found_out(tmp_path, monkeypatch):
    run = ("run", "/p/one", "Input", 0, "done", 0)
    events = [(0.01, run), (2.0, run), (2.0, ("lose", 0))]
    play(events, workspace_for(tmp_path, "memory"), monkeypatch)
    monkeypatch.setattr(garbage_module, "missing_runs", lambda _: {})
    with pytest.raises(pytest.fail.Exception):
        play(events, workspace_for(tmp_path, "memory"), monkeypatch)
