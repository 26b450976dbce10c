"""The demo's faults: what each does to the network, and how good the product must be."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from jumping_vpn.lab.stage import Stage
from jumping_vpn.lab.topology import LabPath


@dataclass(frozen=True, slots=True, kw_only=True)
class Injected:
    """A fault under way: the instant that its gap counts from, and what heals it."""

    since_ns: int
    heal: Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault: its name, its bound for the gap, and whether packets may be lost in it.

    The gap is the longest silence, or is counted from the return of what was away.
    """

    name: str
    gap_ms_max: float
    lossless: bool
    inject: Callable[[Stage], Injected]
    settle_s: float = 2.0
    gap_since_return: bool = False


def silent_blackhole(stage: Stage) -> Injected:
    """Swallow everything on the active path, both ways, without a word."""
    path = stage.active()
    since = path.link.block(up=True, down=True)
    return Injected(since_ns=since, heal=_healer(path))


def link_down(stage: Stage) -> Injected:
    """Take the carrier from the client's interface."""
    path = stage.active()
    since = path.pull()
    return Injected(since_ns=since, heal=path.plug)


def one_way_blackhole(stage: Stage) -> Injected:
    """Swallow only what goes to the client."""
    path = stage.active()
    since = path.link.block(up=False, down=True)
    return Injected(since_ns=since, heal=_healer(path))


def nat_rebinding(stage: Stage) -> Injected:
    """Make the active path's router forget its translation and choose another port."""
    path = stage.active()
    since = time.monotonic_ns()
    path.rebind(ports="40000-49999")
    return Injected(since_ns=since, heal=lambda: None)


def planned_jump(stage: Stage) -> Injected:
    """`jvpn jump` to the best other candidate."""
    since = time.monotonic_ns()
    stage.client.jump()
    return Injected(since_ns=since, heal=lambda: None)


def gateway_kill(stage: Stage) -> Injected:
    """`kill -9` the gateway, start it again after half a second, and count from that start."""
    stage.gateway.kill()
    time.sleep(0.5)
    return Injected(since_ns=stage.gateway.start(), heal=lambda: None)


def blackout(stage: Stage) -> Injected:
    """Block every path for five seconds, then open the one that did not carry the session."""
    first, last = stage.other(), stage.active()
    for path in stage.topology.paths:
        path.link.block(up=True, down=True)
    time.sleep(5)
    since = first.link.block(up=False, down=False)
    return Injected(since_ns=since, heal=_healer(last))


def _healer(path: LabPath) -> Callable[[], None]:
    def heal() -> None:
        path.link.block(up=False, down=False)

    return heal


FAULTS: Final = (
    Fault(name="silent blackhole", gap_ms_max=250, lossless=True, inject=silent_blackhole),
    Fault(name="link down", gap_ms_max=60, lossless=True, inject=link_down),
    Fault(name="one-way blackhole", gap_ms_max=250, lossless=True, inject=one_way_blackhole),
    Fault(name="NAT rebinding", gap_ms_max=150, lossless=True, inject=nat_rebinding),
    Fault(name="planned jump", gap_ms_max=20, lossless=True, inject=planned_jump),
    Fault(
        name="gateway kill -9",
        gap_ms_max=500,
        lossless=False,
        inject=gateway_kill,
        gap_since_return=True,
    ),
    Fault(
        name="blackout 5 s",
        gap_ms_max=500,
        lossless=True,
        inject=blackout,
        settle_s=3.0,
        gap_since_return=True,
    ),
)
