"""The export of events beside a running service, and of what is left when it ends."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from jumping_vpn.observe.exporter import Exporter, Outbox
from jumping_vpn.service.crew import Crew
from jumping_vpn.service.log import NodeLog

DRAINING_SECONDS_MAX: Final = 5.0


@asynccontextmanager
async def exporting(
    outbox: Outbox, path: Path, log: NodeLog, *, shown: Callable[[bytes], None] | None = None
) -> AsyncIterator[Exporter]:
    """Export events to the log at `path` for as long as the context lasts, then what is left."""
    exporter = Exporter(outbox, path, log.announce, shown=shown)
    try:
        async with Crew() as crew:
            crew.hire("exporter", exporter.run())
            yield exporter
    finally:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAINING_SECONDS_MAX):
                await exporter.drain()
        await exporter.close()
