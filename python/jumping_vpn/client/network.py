"""The client's place in this machine's network: the tunnel's addresses, routes and policy rules.

Whatever is not marked as the tunnel's own traffic is looked up in the tunnel's table first, so a
loop is impossible: the sockets of the data plane carry the mark. The rules have fixed priorities,
and the journal lists them, so that every exit removes exactly these. A start after a crash takes
over what it finds in the journal.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_interface, ip_network
from pathlib import Path
from typing import Final

import msgspec

from jumping_vpn.client import resolver
from jumping_vpn.client.resolver import Resolver
from jumping_vpn.system import journal, kernel

MARK: Final = 0x4A56
TABLE: Final = 0x4A56
TUNNEL_PRIORITY: Final = TABLE
LOCAL_PRIORITY: Final = TABLE - 1

ENVELOPE_BYTES: Final = 80
MTU_MIN: Final = 1280
MTU_UNKNOWN: Final = 1500

TUNNEL_RULE: Final = f"pref {TUNNEL_PRIORITY} not fwmark {MARK:#x} lookup {TABLE}"
LOCAL_RULE: Final = f"pref {LOCAL_PRIORITY} lookup main suppress_prefixlength 0"


class NetworkTaken(Exception):
    """Another client routes this network namespace's traffic already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tunnel:
    """What the session granted, and the interface that carries it here.

    With a default route among the routes, the client's own networks stay outside the tunnel if
    `keep_local_networks`.
    """

    interface: str
    addresses: tuple[str, ...]
    routes: tuple[str, ...]
    mtu: int
    keep_local_networks: bool
    dns: tuple[str, ...] = ()


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """What is in force for one family of addresses, in the words of `ip`."""

    family: int
    addresses: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What this client has in force here; addresses and routes go with its interface."""

    interface: str
    parts: tuple[Part, ...]
    resolver: Resolver | None = None


def tunnel_mtu(smallest_candidate: int | None, granted: int) -> int:
    """Return the MTU for the tunnel: the smallest candidate's less the envelope, and as granted."""
    outer = MTU_UNKNOWN if smallest_candidate is None else smallest_candidate
    return max(MTU_MIN, min(outer - ENVELOPE_BYTES, granted))


def set_up(tunnel: Tunnel, journal_path: Path) -> None:
    """Bring the open TUN to what the session granted; also again, when the grant changed."""
    # Answers may arrive on the tunnel whatever the reverse path says.
    kernel.write_sysctl(f"net/ipv4/conf/{tunnel.interface}/rp_filter", "2")
    kernel.allow_ipv6(tunnel.interface)
    kernel.ask_no_routers(tunnel.interface)
    found = journal.load(journal_path, Changes) or Changes(interface=tunnel.interface, parts=())
    note = partial(_save, journal_path, tunnel.interface)
    present = _present(found, tunnel.interface)
    for part in (_part(tunnel, family) for family in _families()):
        old = present.get(part.family, Part(family=part.family))
        note(present | {part.family: _union(old, part)}, found.resolver)
        try:
            _apply(part, old, tunnel)
        except NetworkTaken:
            note(present, found.resolver)
            raise
        present[part.family] = part

    wanted = resolver.chosen() if tunnel.dns else None
    note(present, wanted or found.resolver)
    _resolve(tunnel, wanted, found.resolver)
    note(present, wanted)


def tear_down(journal_path: Path) -> None:
    """Remove what a run of this client left in force, and nothing else."""
    present = journal.load(journal_path, Changes)
    if present is not None:
        there = kernel.interface_exists(present.interface)
        nothing = Part(family=0)
        batches = (
            kernel.ip_batch(
                _removals(part if there else Part(family=part.family, rules=part.rules), nothing),
                family=part.family,
                forgiving=True,
            )
            for part in present.parts
        )
        kernel.run(tuple(batches), forgiving=True)
        if present.resolver is not None:
            kernel.run(resolver.removals(present.resolver, present.interface), forgiving=True)
    journal.erase(journal_path)


def _part(tunnel: Tunnel, family: int) -> Part:
    addresses = [ip_interface(text) for text in tunnel.addresses]
    own = [address.ip for address in addresses if address.version == family]
    networks = [
        network for text in tunnel.routes if (network := ip_network(text)).version == family
    ]
    if not own:
        return Part(family=family)
    whole = any(network.prefixlen == 0 for network in networks)
    nodad = " nodad" if family == 6 else ""
    return Part(
        family=family,
        addresses=tuple(f"{ip}/{ip.max_prefixlen} dev {tunnel.interface}{nodad}" for ip in own),
        routes=tuple(f"{network} dev {tunnel.interface} table {TABLE}" for network in networks),
        rules=(TUNNEL_RULE, *([LOCAL_RULE] * (whole and tunnel.keep_local_networks))),
    )


def _present(changes: Changes, interface: str) -> dict[int, Part]:
    """Return what is in force by family; routes of another interface went with it."""
    same = changes.interface == interface
    return {
        part.family: part if same else Part(family=part.family, rules=part.rules)
        for part in changes.parts
    }


def _save(
    journal_path: Path, interface: str, parts: Mapping[int, Part], manager: Resolver | None
) -> None:
    changes = Changes(interface=interface, parts=tuple(parts.values()), resolver=manager)
    journal.save(journal_path, changes)


def _resolve(tunnel: Tunnel, wanted: Resolver | None, present: Resolver | None) -> None:
    """Set the granted name servers; a machine that refuses them keeps its own."""
    if wanted is not None:
        kernel.run(resolver.additions(wanted, tunnel.interface, tunnel.dns), forgiving=True)
    elif present is not None:
        kernel.run(resolver.removals(present, tunnel.interface), forgiving=True)


def _union(one: Part, other: Part) -> Part:
    return Part(
        family=one.family,
        addresses=tuple(dict.fromkeys((*one.addresses, *other.addresses))),
        routes=tuple(dict.fromkeys((*one.routes, *other.routes))),
        rules=tuple(dict.fromkeys((*one.rules, *other.rules))),
    )


def _additions(wanted: Part, present: Part) -> list[str]:
    return [
        *(f"rule add {rule}" for rule in wanted.rules if rule not in present.rules),
        *(f"address replace {address}" for address in wanted.addresses),
        *(f"route replace {route}" for route in wanted.routes),
    ]


def _removals(present: Part, wanted: Part) -> list[str]:
    return [
        *(f"rule delete {rule}" for rule in present.rules if rule not in wanted.rules),
        *(f"route delete {route}" for route in present.routes if route not in wanted.routes),
        *(
            f"address delete {address.removesuffix(' nodad')}"
            for address in present.addresses
            if address not in wanted.addresses
        ),
    ]


def _families() -> tuple[int, ...]:
    return (4, 6) if kernel.has_ipv6() else (4,)


def _apply(wanted: Part, present: Part, tunnel: Tunnel) -> None:
    # In one request the kernel brings the link up first, and it has made its address by then.
    silent = f"link set dev {tunnel.interface} addrgenmode none"
    link = f"link set dev {tunnel.interface} mtu {tunnel.mtu} up"
    family = wanted.family
    try:
        kernel.run((kernel.ip_batch((silent, link, *_additions(wanted, present)), family=family),))
    except kernel.KernelRefused as refusal:
        if "File exists" in str(refusal):
            raise NetworkTaken(
                f"a policy rule of priority {TUNNEL_PRIORITY} is there already: another Jumping "
                "VPN client routes this machine's traffic. End it with `jvpn down` first"
            ) from refusal
        raise
    outdated = kernel.ip_batch(_removals(present, wanted), family=family, forgiving=True)
    kernel.run((outdated,), forgiving=True)
