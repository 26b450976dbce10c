"""The gateway's place in this machine's network: addresses, forwarding, NAT, isolation, MSS.

Everything is idempotent: a start after a crash takes over what the last run left. The packet filter
is one table that is replaced as a whole. Forwarding is switched on where it was off, and the
journal remembers what that changed, so that the next exit puts it back.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from jumping_vpn.gateway.config import NetworkSettings
from jumping_vpn.gateway.pool import gateway_addresses
from jumping_vpn.system import journal, kernel
from jumping_vpn.system.settings import Subnet

TABLE: Final = "inet jumping_vpn"
TCP_IP_HEADERS: Final = {4: 40, 6: 60}
FORWARDING: Final = {4: "net/ipv4/ip_forward", 6: "net/ipv6/conf/all/forwarding"}
# What the kernel changes by itself when forwarding is switched, and has to be put back after it.
SIDE_EFFECTS: Final = {
    4: ("net/ipv4/conf/*/forwarding", "net/ipv4/conf/*/accept_redirects"),
    6: ("net/ipv6/conf/*/forwarding",),
}
ROUTER_ADVERTISEMENTS: Final = "net/ipv6/conf/*/accept_ra"


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """A sysctl and the value it had before us."""

    name: str
    before: str


class Switch(msgspec.Struct, frozen=True, kw_only=True):
    """Forwarding that was off, and every setting that switching it on may have changed."""

    name: str
    before: str
    along: tuple[Setting, ...]


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What this gateway has in force here; its interface goes with its process."""

    switches: tuple[Switch, ...] = ()


def set_up(settings: NetworkSettings, interface: str, journal_path: Path) -> None:
    """Make the open TUN `interface` the gateway's network; also after a crash, also again."""
    subnets = _supported(settings.subnets)
    families = sorted({subnet.parsed.version for subnet in subnets})
    changes = journal.load(journal_path, Changes) or Changes()
    known = {switch.name for switch in changes.switches}
    found = (_switch(family) for family in families if FORWARDING[family] not in known)
    changes = Changes(switches=(*changes.switches, *filter(None, found)))
    journal.save(journal_path, changes)

    kernel.allow_ipv6(interface)
    _forward(families)
    kernel.run(
        (
            kernel.nft_batch(filter_script(settings, interface)),
            kernel.ip_batch(_address_lines(subnets, interface, settings.mtu)),
        )
    )


def tear_down(journal_path: Path) -> None:
    """Remove what a run of this gateway left in force, and nothing else."""
    changes = journal.load(journal_path, Changes)
    if changes is not None:
        kernel.run((kernel.nft_batch(f"table {TABLE}\ndelete table {TABLE}\n"),), forgiving=True)
        for switch in reversed(changes.switches):
            _put_back(switch)
    journal.erase(journal_path)


def filter_script(settings: NetworkSettings, interface: str) -> str:
    """Return the `nft` script that replaces our table, whatever it was, in one transaction."""
    isolate = [f'iifname "{interface}" oifname "{interface}" drop'] * settings.isolate_clients
    clamp = [
        f'meta nfproto ipv{family} {side} "{interface}" tcp flags syn / syn,rst '
        f"tcp option maxseg size set {settings.mtu - headers}"
        for family, headers in TCP_IP_HEADERS.items()
        for side in ("iifname", "oifname")
    ]
    translate = [
        f'{_saddr(subnet)} {subnet} oifname != "{interface}" masquerade'
        for subnet in settings.subnets
        if settings.masquerade
    ]
    lines = [
        f"table {TABLE}",
        f"delete table {TABLE}",
        f"table {TABLE} {{",
        *_chain("forward", "type filter hook forward priority filter", (*isolate, *clamp)),
        *_chain("postrouting", "type nat hook postrouting priority srcnat", translate),
        "}",
    ]
    return "\n".join(lines) + "\n"


def _chain(name: str, hook: str, rules: Iterable[str]) -> list[str]:
    body = [f"    {rule}" for rule in rules]
    head = [f"  chain {name} {{", f"    {hook}; policy accept;"]
    return [*head, *body, "  }"] if body else []


def _saddr(subnet: Subnet) -> str:
    return "ip saddr" if subnet.parsed.version == 4 else "ip6 saddr"


def _supported(subnets: Iterable[Subnet]) -> tuple[Subnet, ...]:
    ipv6 = kernel.has_ipv6()
    return tuple(subnet for subnet in subnets if ipv6 or subnet.parsed.version == 4)


def _address_lines(subnets: Iterable[Subnet], interface: str, mtu: int) -> list[str]:
    addresses = gateway_addresses(tuple(subnets))
    return [
        # In one request the kernel brings the link up first, and has made its address by then.
        f"link set dev {interface} addrgenmode none",
        f"link set dev {interface} mtu {mtu} up",
        *(
            f"address replace {address} dev {interface}{' nodad' * (':' in address)}"
            for address in addresses
        ),
    ]


def _switch(family: int) -> Switch | None:
    """Return what has to be remembered before forwarding is switched on; None: it is on already."""
    before = kernel.read_sysctl(FORWARDING[family])
    if before is None or before == "1":
        return None
    patterns = SIDE_EFFECTS[family] + ((ROUTER_ADVERTISEMENTS,) if family == 6 else ())
    names = (name for pattern in patterns for name in kernel.sysctls(pattern))
    along = (Setting(name=name, before=kernel.read_sysctl(name) or "") for name in names)
    return Switch(name=FORWARDING[family], before=before, along=tuple(along))


def _forward(families: Iterable[int]) -> None:
    for family in families:
        if kernel.read_sysctl(FORWARDING[family]) == "1":
            continue
        if family == 6:
            _keep_listening_to_routers()
        kernel.write_sysctl(FORWARDING[family], "1")


def _keep_listening_to_routers() -> None:
    # A host that forwards ignores router advertisements at 1, and would lose its own default route.
    for name in kernel.sysctls(ROUTER_ADVERTISEMENTS):
        if kernel.read_sysctl(name) == "1":
            kernel.write_sysctl(name, "2")


def _put_back(switch: Switch) -> None:
    if kernel.read_sysctl(switch.name) != "1":
        return
    kernel.write_sysctl(switch.name, switch.before)
    for setting in switch.along:
        if kernel.read_sysctl(setting.name) not in {None, setting.before}:
            kernel.write_sysctl(setting.name, setting.before)
