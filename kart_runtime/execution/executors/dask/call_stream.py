"""Calls on their way to a cluster and back, in batches: one graph for many calls, one request for many answers.

Everything here but `put` runs in the client's event loop, so that batches form by themselves: what is submitted or
finishes while the loop is busy goes with the next batch.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from kart_runtime.errors import ExecutorError
from kart_runtime.execution.executors.calls import Answer, WorkItem

_BATCH_BYTES = 1_000_000
"""Size of a batch, far below that at which Dask warns of a large graph."""

_PAUSE_FOR_CALL, _LONGEST_PAUSE = 0.0001, 0.02
"""Seconds to wait for more answers before they are fetched, for each call that is on its way."""


@dataclass(eq=False)
class Call:
    """A call for the cluster: `work` has our future; of several that wait there, the highest priority goes first."""

    work: WorkItem
    key: str
    message: bytes
    priority: float


class CallStream:
    """Sends calls to a cluster, and settles their futures.

    `function` runs on the workers and gets the message of a call. `settle` and `fail` receive what became of it.
    """

    def __init__(
        self,
        client: Any,
        function: Callable[[bytes], Answer],
        settle: Callable[[Call, Answer], None],
        fail: Callable[[Call, BaseException], None],
    ) -> None:
        from distributed import as_completed

        self._client, self._function, self._settle, self._fail = client, function, settle, fail
        self._outbox: deque[Call] = deque()
        self._flushing = self._collecting = False
        self._calls: dict[str, Call] = {}
        self._completed = as_completed(loop=client.loop)
        self._tasks: set[asyncio.Task[None]] = set()
        self.pending: dict[Future[Any], Any] = {}
        """Our future to Dask's, which keeps the call alive on the cluster; None: not sent yet."""

    def put(self, call: Call) -> None:
        """Send a call; returns at once."""
        self.pending[call.work.future] = None
        self._outbox.append(call)
        if not self._flushing:
            self._flushing = True
            self._client.loop.add_callback(self._flush)

    def drop(self, call: Call) -> None:
        """Wait no longer for a call that has expired."""
        self.pending.pop(call.work.future, None)

    def sent(self, key: str) -> Call | None:
        """Return a call that has been sent and not answered, by its key."""
        return self._calls.get(key)

    def abandon(self, error: BaseException) -> None:
        """Fail all calls that have not been answered; in the client's event loop."""
        calls, self._calls = list(self._calls.values()), {}
        waiting, self._outbox = list(self._outbox), deque()
        for call in [*calls, *waiting]:
            self._finish(call, error=error)

    def _flush(self) -> None:
        self._flushing = False
        for calls in _batches(self._take()):
            try:
                self._send(calls)
            except Exception as error:  # noqa: BLE001 - whatever Dask raises without a scheduler
                for call in calls:
                    self._finish(call, error=error)
        if self._calls and not self._collecting:
            self._collecting = True
            self._run(self._collect())

    def _take(self) -> Iterator[Call]:
        while self._outbox:
            call = self._outbox.popleft()
            if call.work.future.cancelled():
                self._finish(call, error=asyncio.CancelledError())
            else:
                yield call

    def _send(self, calls: list[Call]) -> None:
        sent = self._client.map(
            self._function,
            [call.message for call in calls],
            key=[call.key for call in calls],
            priority=calls[0].priority,
            pure=False,
        )
        for call, future in zip(calls, sent, strict=True):
            self._calls[call.key] = call
            self.pending[call.work.future] = future
        self._completed.update(sent)

    async def _collect(self) -> None:
        async for future in self._completed:
            await asyncio.sleep(min(_PAUSE_FOR_CALL * len(self._calls), _LONGEST_PAUSE))
            await self._fetch([future, *self._completed.next_batch(block=False)])
        self._collecting = False

    async def _fetch(self, futures: list[Any]) -> None:
        """Get the answers of calls that have ended; those of a worker that died meanwhile come when they ran again."""
        finished = [future for future in futures if future.status == "finished"]
        answers: dict[str, Answer] = {}
        if len(finished) > 1:
            try:
                response = await self._client.scheduler.gather(keys=[future.key for future in finished])
                answers = response["data"] if response["status"] == "OK" else {}
            except Exception:  # noqa: BLE001 - the scheduler is lost: each call will say so
                answers = {}
        for future in futures:
            if future.key not in self._calls:
                continue  # abandoned
            if future.key in answers:
                self._finish(self._calls.pop(future.key), answers[future.key])
            else:
                self._run(self._fetch_alone(future))

    async def _fetch_alone(self, future: Any) -> None:
        call = self._calls.pop(future.key, None)
        if call is None:
            return
        try:
            answer = await future
        except BaseException as error:  # noqa: BLE001 - cancellation, too, is news for our future
            self._finish(call, error=error)
        else:
            self._finish(call, answer)

    def _finish(self, call: Call, answer: Answer | None = None, error: BaseException | None = None) -> None:
        self.pending.pop(call.work.future, None)
        if not call.work.begin_end():
            return
        if answer is None:
            self._fail(call, error or ExecutorError("no answer"))
        else:
            self._settle(call, answer)

    def _run(self, coroutine: Any) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)  # the loop holds tasks weakly
        task.add_done_callback(self._tasks.discard)


def _batches(calls: Iterable[Call]) -> Iterator[list[Call]]:
    """Yield calls of the same priority together, up to the size of a batch, the highest priority first."""
    batches: dict[float, list[Call]] = {}
    sizes: dict[float, int] = {}
    for call in calls:
        size = sizes.get(call.priority, 0)
        if size and size + len(call.message) > _BATCH_BYTES:
            yield batches.pop(call.priority)
            size = 0
        batches.setdefault(call.priority, []).append(call)
        sizes[call.priority] = size + len(call.message)
    for priority in sorted(batches, reverse=True):
        yield batches[priority]
