"""Ownership as arithmetic: who may act for a session, and until when a node may forward.

Keys fence what is on the wire. What keys cannot fence is what a node has opened and not yet
delivered: for that each node holds a lease on its own right to forward, counted from before it
asked for it.
"""

from dataclasses import dataclass
from enum import StrEnum

from jumping_vpn.core.ids import Millis, NodeId
from jumping_vpn.core.session.model import Session


class Hold(StrEnum):
    """What a session's owner means for the node that was asked."""

    OURS = "OURS"
    """This node owns the session."""
    ANOTHERS = "ANOTHERS"
    """Another node owns it, and this mode of deployment does not let this one take it."""
    UNKNOWN = "UNKNOWN"
    """The store cannot be reached, so nobody here may take it."""


def hold_of(session: Session, *, node: NodeId, store_reachable: bool) -> Hold:
    """Return whether `node` may decide about the session."""
    if session.owner == node:
        return Hold.OURS
    return Hold.ANOTHERS if store_reachable else Hold.UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """How long one renewal of the right to forward lasts; clocks may drift apart by `drift_ppm`."""

    length: Millis
    drift_ppm: int

    def until(self, *, asked: Millis) -> Millis:
        """Return the deadline of the fence for a renewal that was sent at `asked`."""
        return Millis(asked + self.length - self.length * self.drift_ppm // 1_000_000)
