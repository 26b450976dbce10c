"""When answers leave the gateway."""

import asyncio
from typing import cast

from jumping_vpn._native import DataPlane
from jumping_vpn.dataplane.plane import GatewayPlane


class CountingNative:
    """Counts what it is asked to answer, and how often to send it."""

    answered = 0
    flushed = 0

    def respond(self, token: int, message: bytes) -> None:  # noqa: ARG002
        self.answered += 1

    def flush(self) -> None:
        self.flushed += 1


async def test_answers_of_one_turn_wake_the_packet_loop_once() -> None:
    native = CountingNative()
    plane = GatewayPlane(cast("DataPlane", native))

    for token in range(3):
        plane.respond(token, b"answer")
    before = (native.answered, native.flushed)
    await asyncio.sleep(0)
    plane.respond(3, b"answer")
    await asyncio.sleep(0)

    assert before == (3, 0)
    assert (native.answered, native.flushed) == (4, 2)
