"""Every peer by its name, and which of them a run compares."""

from collections.abc import Iterable, Sequence
from typing import Final

from bench.peers.jump import Jump, JumpWithoutCipher, JumpWithoutRetention
from bench.peers.nebula import Nebula
from bench.peers.openvpn import OpenVpn
from bench.peers.peer import Peer
from bench.peers.plain import Plain, PlainTunnel, PlainWithoutOffloads
from bench.peers.tinc import Tinc
from bench.peers.wireguard_go import WireGuardGo

VPNS: Final[tuple[type[Peer], ...]] = (WireGuardGo, OpenVpn, Nebula, Tinc)
"""What a user would pick instead; `--peers` names some of them."""
BOUNDS: Final[tuple[type[Peer], ...]] = (Plain, PlainWithoutOffloads, PlainTunnel)
OURS: Final[tuple[type[Peer], ...]] = (Jump, JumpWithoutRetention, JumpWithoutCipher)
EVERY: Final[dict[str, type[Peer]]] = {each.name: each for each in (*OURS, *VPNS, *BOUNDS)}


class UnknownPeer(ValueError):
    """No peer has this name; the text lists those that there are."""


def vpns(names: Iterable[str]) -> tuple[type[Peer], ...]:
    """Return the VPNs of these names, in the order of the roster."""
    wanted = set(names)
    known = {each.name: each for each in VPNS}
    if unknown := sorted(wanted - known.keys()):
        raise UnknownPeer(f"{', '.join(unknown)}: the peers are {', '.join(known)}")
    return tuple(each for name, each in known.items() if name in wanted)


def installed(peers: Sequence[type[Peer]]) -> dict[type[Peer], str]:
    """Return the peers that can run here, with their versions."""
    found = ((each, each.version()) for each in peers)
    return {each: version for each, version in found if version is not None}
