"""Attached means alive: a client that says so has a path on which packets pass, both ways.

Judged by what arrived on the path, as the network saw it. Who is stopped cannot say anything else.
"""

from dataclasses import dataclass
from typing import Final

from jumping_vpn.core.session.model import State
from jumping_vpn.sim.virtual.calendar import US_PER_MS, US_PER_SECOND
from jumping_vpn.sim.virtual.client import ClientHost
from jumping_vpn.sim.virtual.network import Network, Way

DOUBT_US: Final = 2 * US_PER_SECOND
"""How long the client may doubt, at most, once a heartbeat is overdue."""


@dataclass(slots=True)
class Standing:
    """Since when a client has stood attached by one binding without being stopped."""

    epoch: int
    since: int


class Pulse:
    """Looks at every client now and then."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._standing: dict[int, Standing] = {}

    def lifeless(self, client: ClientHost, *, now: int) -> str | None:
        """Return what is wrong if the client stands attached, and nothing passes on its path."""
        core, process = client.core, client.process
        view = None if core is None else core.view
        if core is None or view is None or process is None or core.standing is not State.ATTACHED:
            self._standing.pop(client.number, None)
            return None
        standing = self._standing.get(client.number)
        if standing is None or standing.epoch != view.epoch or process.is_paused:
            self._standing[client.number] = standing = Standing(view.epoch, now)
        bound = DOUBT_US + view.policy.heartbeat_idle * US_PER_MS * 5 // 4
        for way in Way:
            heard = self._network.heard.get((client.number, core.active or 0, way), 0)
            silent = now - max(heard, standing.since)
            if silent > bound:
                seconds = silent / US_PER_SECOND
                return (
                    f"client {client.number} stands attached, and nothing went {way}"
                    f" on its path for {seconds:.1f} s"
                )
        return None
