"""Tests that are coroutines, each in an event loop of its own."""

import asyncio
import inspect
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Opened:
    """A fixture's value that is opened in the test's own loop, and closed there."""

    open: Callable[[], AbstractAsyncContextManager[Any]]


def run_if_coroutine(function: Callable[..., Any], arguments: dict[str, Any]) -> bool:
    """Run a coroutine test and say so; leave any other test alone."""
    if not inspect.iscoroutinefunction(function):
        return False
    asyncio.run(_run(function, arguments))
    return True


async def _run(function: Callable[..., Any], arguments: dict[str, Any]) -> None:
    async with asyncio.timeout(60), AsyncExitStack() as stack:
        for name, value in arguments.items():
            if isinstance(value, Opened):
                arguments[name] = await stack.enter_async_context(value.open())
        await function(**arguments)
