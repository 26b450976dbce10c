"""What a client says whose session, continued from its state file, nobody answers.

A gateway is silent to keys that it does not know, so an old copy of the state file looks like a
gateway that cannot be reached. Nothing that arrives, or fails to, can prove the difference: who
holds back packets on the way must not be able to end a session. So the client goes on asking, and a
person is told of both causes and how to tell them apart.
"""

import asyncio
from typing import Final

from jumping_vpn.core.client import ClientCore
from jumping_vpn.core.ids import Millis
from jumping_vpn.service.report import Reporter

UNANSWERED_AFTER: Final = Millis(10_000)
UNANSWERED: Final = (
    "the gateway answers nothing of this session. Either it cannot be reached, or it does not "
    "accept the session's keys because session.state is an old copy. The gateway's log tells them "
    "apart: SECURITY_EVENT with PROOF_INVALID means that it is an old copy. Then run `jvpn down` "
    "and `jvpn up` again: that makes a new session"
)


def doubt_of(core: ClientCore, *, running_ms: Millis) -> str:
    """Return what a person should know about the silence, or nothing where there is none."""
    return UNANSWERED if core.is_unanswered and running_ms >= UNANSWERED_AFTER else ""


async def tell_doubt(core: ClientCore, reporter: Reporter) -> None:
    """Tell a person once that nobody answers, if that is so after a while."""
    await asyncio.sleep(UNANSWERED_AFTER / 1000)
    if told := doubt_of(core, running_ms=UNANSWERED_AFTER):
        reporter.warn(told)
