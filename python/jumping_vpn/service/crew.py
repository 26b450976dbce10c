"""Structured supervision: the tasks of a service live and die together.

A crew is a task group whose tasks run until the service stops. A task that fails takes the whole
crew down and its error reaches the caller; a stop dismisses them in the order of their hiring.
"""

import asyncio
import signal
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")


class StopWish:
    """The wish to stop, with what caused it; the first cause stays."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._cause = ""

    @property
    def cause(self) -> str:
        """What asked the service to stop; empty while nothing did."""
        return self._cause

    @property
    def wished(self) -> bool:
        """Whether the service is to stop."""
        return self._event.is_set()

    def wish(self, cause: str) -> None:
        """Ask the service to stop."""
        if not self._event.is_set():
            self._cause = cause
            self._event.set()

    async def wait(self) -> str:
        """Wait for the wish and return its cause."""
        await self._event.wait()
        return self._cause


class Crew:
    """A task group of endless tasks that end together."""

    def __init__(self) -> None:
        self._group = asyncio.TaskGroup()
        self._tasks: list[asyncio.Task[Any]] = []

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.dismiss()
        await self._group.__aexit__(kind, error, trace)

    def hire(self, name: str, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start a task of this crew and return it."""
        task = self._group.create_task(work, name=name)
        self._tasks.append(task)
        return task

    def dismiss(self) -> None:
        """Cancel every task; the crew's context ends once they have cleaned up."""
        for task in self._tasks:
            task.cancel()


@contextmanager
def first_error() -> Iterator[None]:
    """Raise the first error of a failed crew by itself, so that callers can tell what it was."""
    try:
        yield
    except BaseExceptionGroup as group:
        first: BaseException = group
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from group


@contextmanager
def stopping_on_signals(stop: StopWish) -> Iterator[None]:
    """Turn SIGINT, SIGTERM and SIGHUP into the wish to stop, for as long as the context lasts."""
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in signals:
        loop.add_signal_handler(number, stop.wish, number.name)
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
