"""The one thread that writes: it drains its queue, commits the group, reports it in one step.

The loop gathers orders for as long as each of its turns brings more, hands them over through a
queue that needs no lock of ours, and is woken once for each group, not for each order. While a
commit is under way the next group gathers, so the busier the store is, the more orders share one
commit; an idle loop hands a single order over at once.
"""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from msgspec import Struct

from jumping_vpn.store.contract import (
    WAITING_MAX,
    OutcomeUnknown,
    StoreError,
    StoreUnavailable,
)
from jumping_vpn.store.ledger import Committed, Ledger, Order

Connect: TypeAlias = Callable[[Path], sqlite3.Connection]

GROUP_MAX: Final = 1024
"""Orders of one transaction."""
GATHERED_MAX: Final = 32
"""Orders that are handed over although the loop's next turn may bring more."""


class _Pending(Struct, frozen=True):
    order: Order
    answer: "asyncio.Future[Any]"


_Report: TypeAlias = "Callable[[Committed], None]"


class Writer:
    """Takes orders in the loop that made it; `committed` is called there after each commit."""

    def __init__(self, path: Path, connect: Connect, committed: _Report) -> None:
        self._path = path
        self._connect = connect
        self._committed = committed
        self._loop = asyncio.get_running_loop()
        self._orders: queue.SimpleQueue[Sequence[_Pending] | None] = queue.SimpleQueue()
        self._gathered: list[_Pending] = []
        self._waiting = 0
        self._closing = False
        self._doubtful = False
        self._ledger: Ledger | None = None
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    @property
    def doubtful(self) -> bool:
        """Whether the newest commit may or may not have happened; a later commit decides it."""
        return self._doubtful

    def submit(self, order: Order) -> "asyncio.Future[Any]":
        """Queue an order; its answer is what the ledger returned, or the error it failed with."""
        if self._closing:
            raise StoreUnavailable("the store is closed")
        if self._waiting >= WAITING_MAX:
            raise StoreUnavailable(f"{self._waiting} writes wait already")
        answer: asyncio.Future[Any] = self._loop.create_future()
        self._waiting += 1
        self._gathered.append(_Pending(order, answer))
        if len(self._gathered) == 1:
            self._loop.call_soon(self._gather, 0)
        return answer

    async def close(self) -> None:
        """Commit what was submitted, then end the thread."""
        if not self._closing:
            self._closing = True
            self._hand_over()
            self._orders.put(None)
        await asyncio.to_thread(self._thread.join)

    def _gather(self, before: int) -> None:
        """Hand over what was gathered, unless a whole turn of the loop has brought more."""
        if before < len(self._gathered) < GATHERED_MAX:
            self._loop.call_soon(self._gather, len(self._gathered))
        else:
            self._hand_over()

    def _hand_over(self) -> None:
        if self._gathered:
            group, self._gathered = self._gathered, []
            self._orders.put(group)

    # In the thread.

    def _run(self) -> None:
        last = False
        while not last:
            first = self._orders.get()
            group = [] if first is None else [*first]
            last = first is None or self._drain(group)
            if group:
                self._deliver(group, self._carry_out([each.order for each in group]))
        if self._ledger is not None:
            self._ledger.close()

    def _drain(self, group: list[_Pending]) -> bool:
        """Take what waits already; say whether the end was among it."""
        while len(group) < GROUP_MAX:
            try:
                more = self._orders.get_nowait()
            except queue.Empty:
                return False
            if more is None:
                return True
            group += more
        return False

    def _carry_out(self, orders: Sequence[Order]) -> Committed | Exception:
        try:
            if self._ledger is None:
                self._ledger = Ledger(self._connect(self._path))
            return self._ledger.commit(orders)
        except sqlite3.Error as error:
            return StoreUnavailable(f"{self._path}: {error}")
        except OutcomeUnknown as error:
            self._reconnect_later()
            return error
        except Exception as error:  # noqa: BLE001  who waits for an answer must get one
            return error

    def _reconnect_later(self) -> None:
        ledger, self._ledger = self._ledger, None
        if ledger is not None:
            ledger.close()

    def _deliver(self, group: list[_Pending], result: Committed | Exception) -> None:
        try:
            self._loop.call_soon_threadsafe(self._answer, group, result)
        except RuntimeError:
            # The loop is gone, and with it everybody who could have been answered.
            return

    # Back in the loop.

    def _answer(self, group: list[_Pending], result: Committed | Exception) -> None:
        self._waiting -= len(group)
        if isinstance(result, Exception):
            self._doubtful = self._doubtful or isinstance(result, OutcomeUnknown)
            for pending in group:
                if not pending.answer.done():
                    pending.answer.set_exception(type(result)(*result.args))
            return
        self._doubtful = False
        for pending, outcome in zip(group, result.outcomes, strict=True):
            if pending.answer.done():
                continue
            if isinstance(outcome, StoreError):
                pending.answer.set_exception(outcome)
            else:
                pending.answer.set_result(outcome)
        self._committed(result)
