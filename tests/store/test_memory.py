from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from jumping_vpn.store.memory import MemoryStore
from store.conformance import Conformance
from support.loops import Opened


@asynccontextmanager
async def opened() -> AsyncIterator[MemoryStore]:
    store = MemoryStore()
    yield store
    await store.close()


class TestMemoryStore(Conformance):
    @pytest.fixture
    def store(self) -> Opened:
        return Opened(opened)
