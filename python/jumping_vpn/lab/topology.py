"""The standard lab: a client on two paths, two routers with NAT, a gateway, and a LAN behind it.

::

    client --wifi0-- [link] -- home router  --+
       |                                      +-- internet -- gateway -- lan server
       +---cable0--- [link] -- office router -+

Every address is private to the namespaces. All hosts speak IPv4 and IPv6; only IPv4 is translated.
"""

from dataclasses import dataclass
from typing import Final

from jumping_vpn.lab.link import Lane, Link, LinkSettings, symmetric
from jumping_vpn.lab.namespaces import Lab, Namespace, cable

GATEWAY_V4: Final = "203.0.113.1"
GATEWAY_V6: Final = "2001:db8:113::1"
GATEWAY_PORT: Final = 4789
LAN_NETWORK: Final = "192.168.50.0/24"
LAN_SERVER: Final = "192.168.50.10"
LAN_NETWORK_V6: Final = "fd50::/64"
LAN_SERVER_V6: Final = "fd50::10"
FORWARDING: Final = {
    "net/ipv4/ip_forward": "1",
    "net/ipv6/conf/all/forwarding": "1",
    "net/ipv4/conf/all/rp_filter": "0",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PathPlan:
    """One way of the client to the internet.

    With `offloads` its link carries bundles of packets that are yet to be cut, as fast machines
    pass them on. Without, it sees what a wire would, and loses packets one by one.
    """

    name: str
    interface: str
    number: int
    metric: int
    link: LinkSettings
    offloads: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LabPath:
    """A built path: the client's interface, the link element, and the router that translates."""

    plan: PathPlan
    client: Namespace
    air: Namespace
    router: Namespace
    link: Link

    def pull(self) -> int:
        """Take the cable out: the client's interface loses its carrier. Return when, in ns."""
        return self.air.set_link("left", up=False)

    def plug(self) -> None:
        """Put the cable back."""
        self.air.set_link("left", up=True)

    def rebind(self, *, ports: str) -> None:
        """Make the router forget its translations and take other ports from now on."""
        self.router.nft(f"flush table ip nat\n{masquerade(ports)}")
        self.router.run("conntrack", "-F")


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """The built lab."""

    client: Namespace
    internet: Namespace
    gateway: Namespace
    server: Namespace
    paths: tuple[LabPath, ...]

    def path(self, name: str) -> LabPath:
        """Return the path of this name, or of the interface of this name."""
        return next(path for path in self.paths if name in (path.plan.name, path.plan.interface))


WIFI: Final = PathPlan(
    name="wifi",
    interface="wifi0",
    number=1,
    metric=100,
    link=symmetric(Lane(delay_us=4000), seed=11),
)
CABLE: Final = PathPlan(
    name="cable",
    interface="cable0",
    number=2,
    metric=200,
    link=symmetric(Lane(delay_us=6000), seed=22),
)
PHONE: Final = PathPlan(
    name="phone",
    interface="lte0",
    number=3,
    metric=100,
    link=symmetric(Lane(delay_us=5000), seed=33),
)


def build(lab: Lab, plans: tuple[PathPlan, ...] = (WIFI, CABLE)) -> Topology:
    """Build the standard lab with these paths."""
    client, internet = lab.namespace("client"), lab.namespace("internet")
    gateway, server = lab.namespace("gateway"), lab.namespace("lan")
    internet.sysctl(FORWARDING)
    cable((gateway, "wan0"), (internet, "gateway0"))
    cable((gateway, "lan0"), (server, "eth0"))
    internet.ip(
        "addr add 203.0.113.254/24 dev gateway0", "addr add 2001:db8:113::fe/64 dev gateway0 nodad"
    )
    gateway.ip(
        f"addr add {GATEWAY_V4}/24 dev wan0",
        f"addr add {GATEWAY_V6}/64 dev wan0 nodad",
        "route add default via 203.0.113.254",
        "route add default via 2001:db8:113::fe",
        "addr add 192.168.50.1/24 dev lan0",
        "addr add fd50::1/64 dev lan0 nodad",
    )
    server.ip(
        f"addr add {LAN_SERVER}/24 dev eth0",
        f"addr add {LAN_SERVER_V6}/64 dev eth0 nodad",
        "route add default via 192.168.50.1",
        "route add default via fd50::1",
    )
    paths = tuple(_build_path(lab, client, internet, plan) for plan in plans)
    return Topology(client=client, internet=internet, gateway=gateway, server=server, paths=paths)


def add_host(lab: Lab, built: Topology, plan: PathPlan) -> tuple[Namespace, LabPath]:
    """Add another client's host with a path of its own."""
    host = lab.namespace(f"host-{plan.name}")
    return host, _build_path(lab, host, built.internet, plan)


def _build_path(lab: Lab, client: Namespace, internet: Namespace, plan: PathPlan) -> LabPath:
    air, router = lab.namespace(f"air-{plan.name}"), lab.namespace(f"router-{plan.name}")
    inside, outside = f"192.168.{10 + plan.number}", f"198.51.100.{16 * plan.number}"
    inside_v6, outside_v6 = f"fd00:{plan.number}:", f"2001:db8:{plan.number}:"
    hosts = int(outside.rsplit(".", 1)[1])
    router_wan, internet_wan = f"198.51.100.{hosts + 1}", f"198.51.100.{hosts + 2}"
    cable((client, plan.interface), (air, "left"))
    cable((air, "right"), (router, "lan0"))
    cable((router, "wan0"), (internet, f"{plan.name}0"))
    if not plan.offloads:
        client.ip(f"link set {plan.interface} gso_max_segs 1")
        router.ip("link set lan0 gso_max_segs 1")
    router.sysctl(FORWARDING)
    internet.ip(
        f"addr add {internet_wan}/28 dev {plan.name}0",
        f"addr add {outside_v6}:2/64 dev {plan.name}0 nodad",
        f"route add {inside_v6}:/64 via {outside_v6}:1",
    )
    router.ip(
        f"addr add {inside}.1/24 dev lan0",
        f"addr add {inside_v6}:1/64 dev lan0 nodad",
        f"addr add {router_wan}/28 dev wan0",
        f"addr add {outside_v6}:1/64 dev wan0 nodad",
        f"route add default via {internet_wan}",
        f"route add default via {outside_v6}:2",
    )
    # A link that swallows everything must not make either end forget the other's address: the
    # kernel asks for it again once a second, and that second would be counted as the product's.
    here, there = f"02:4a:56:50:{plan.number:02x}:01", f"02:4a:56:50:{plan.number:02x}:02"
    router.ip(
        f"link set lan0 address {there}",
        f"neigh replace {inside}.2 lladdr {here} dev lan0 nud permanent",
        f"neigh replace {inside_v6}:2 lladdr {here} dev lan0 nud permanent",
    )
    router.nft(f"table ip nat {{}}\n{masquerade('20000-29999')}")
    client.ip(
        f"addr add {inside}.2/24 dev {plan.interface}",
        f"addr add {inside_v6}:2/64 dev {plan.interface} nodad",
        f"link set {plan.interface} address {here}",
        f"neigh replace {inside}.1 lladdr {there} dev {plan.interface} nud permanent",
        f"neigh replace {inside_v6}:1 lladdr {there} dev {plan.interface} nud permanent",
        f"route add default via {inside}.1 dev {plan.interface} metric {plan.metric}",
        f"route add default via {inside_v6}:1 dev {plan.interface} metric {plan.metric}",
    )
    link = Link(air, "left", "right", plan.link)
    return LabPath(plan=plan, client=client, air=air, router=router, link=link)


def masquerade(ports: str) -> str:
    """Return the rules that translate what leaves by wan0 to the router's own address and ports."""
    return f"""
    table ip nat {{
        chain postrouting {{
            type nat hook postrouting priority srcnat; policy accept;
            oifname "wan0" meta l4proto {{ tcp, udp }} masquerade to :{ports} random
        }}
    }}
    """
