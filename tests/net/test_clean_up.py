"""What a client or a gateway sets is removed by its exit, or by the exit after the next start."""

import asyncio
import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from jumping_vpn.client import network as client
from jumping_vpn.gateway import network as gateway
from jumping_vpn.gateway.config import NetworkSettings
from jumping_vpn.system import kernel
from jumping_vpn.system.settings import Endpoint, Subnet
from jumping_vpn.transport.candidates import Selection
from jumping_vpn.transport.discovery import discovering
from support.tuns import CLIENT, tun

pytestmark = pytest.mark.root

Shell = Callable[[str], str]

GATEWAY = NetworkSettings()


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "network.journal"


def test_a_gateway_leaves_the_network_as_it_found_it(namespace: Shell, journal: Path) -> None:
    before = picture(namespace)

    with tun("jvpn-gw0"):
        gateway.set_up(GATEWAY, "jvpn-gw0", journal)
        assert picture(namespace) != before
        gateway.tear_down(journal)

    assert picture(namespace) == before
    assert not journal.exists()


def test_a_gateway_that_crashed_is_cleaned_up_after_its_next_run(
    namespace: Shell, journal: Path
) -> None:
    before = picture(namespace)
    with tun("jvpn-gw0"):
        gateway.set_up(GATEWAY, "jvpn-gw0", journal)
        running = rules(namespace)

    with tun("jvpn-gw0"):
        gateway.set_up(GATEWAY, "jvpn-gw0", journal)
        assert rules(namespace) == running
        gateway.tear_down(journal)

    assert picture(namespace) == before


def test_a_gateway_forwards_translates_isolates_and_clamps(namespace: Shell, journal: Path) -> None:
    with tun("jvpn-gw0"):
        gateway.set_up(GATEWAY, "jvpn-gw0", journal)

        assert "inet 10.77.0.1/24" in namespace("ip -4 address show dev jvpn-gw0")
        assert "inet6 fd77:4a56:504e::1/64" in namespace("ip -6 address show dev jvpn-gw0")
        assert "mtu 1420" in namespace("ip link show dev jvpn-gw0")
        assert kernel.read_sysctl("net/ipv4/ip_forward") == "1"
        assert kernel.read_sysctl("net/ipv6/conf/all/forwarding") == "1"
        script = namespace("nft list table inet jumping_vpn")

    assert 'iifname "jvpn-gw0" oifname "jvpn-gw0" drop' in script
    assert 'ip saddr 10.77.0.0/24 oifname != "jvpn-gw0" masquerade' in script
    assert 'ip6 saddr fd77:4a56:504e::/64 oifname != "jvpn-gw0" masquerade' in script
    assert "maxseg size set 1380" in script
    assert "maxseg size set 1360" in script


def test_a_gateway_that_was_told_so_neither_isolates_nor_translates() -> None:
    settings = NetworkSettings(isolate_clients=False, masquerade=False)

    script = gateway.filter_script(settings, "jvpn-gw0")

    assert "drop" not in script
    assert "masquerade" not in script


def test_forwarding_that_was_on_stays_on(namespace: Shell, journal: Path) -> None:
    kernel.write_sysctl("net/ipv4/ip_forward", "1")
    kernel.write_sysctl("net/ipv6/conf/all/forwarding", "1")
    before = picture(namespace)

    with tun("jvpn-gw0"):
        gateway.set_up(GATEWAY, "jvpn-gw0", journal)
        gateway.tear_down(journal)

    assert picture(namespace) == before
    assert kernel.read_sysctl("net/ipv4/ip_forward") == "1"


def test_a_forwarding_gateway_still_hears_router_advertisements(
    namespace: Shell, journal: Path
) -> None:
    namespace("ip link add lan type veth peer name lan-far")
    assert kernel.read_sysctl("net/ipv6/conf/lan/accept_ra") == "1"

    with tun("jvpn-gw0"):
        gateway.set_up(GATEWAY, "jvpn-gw0", journal)
        assert kernel.read_sysctl("net/ipv6/conf/lan/accept_ra") == "2"
        gateway.tear_down(journal)

    assert kernel.read_sysctl("net/ipv6/conf/lan/accept_ra") == "1"


def test_other_tables_of_the_packet_filter_are_left_alone(namespace: Shell, journal: Path) -> None:
    namespace("nft add table inet somebody_else")
    before = picture(namespace)

    with tun("jvpn-gw0"):
        gateway.set_up(GATEWAY, "jvpn-gw0", journal)
        gateway.tear_down(journal)

    assert picture(namespace) == before


def test_a_client_leaves_the_network_as_it_found_it(namespace: Shell, journal: Path) -> None:
    before = picture(namespace)

    with tun("jvpn0"):
        client.set_up(CLIENT, journal)
        assert picture(namespace) != before
        client.tear_down(journal)

    assert picture(namespace) == before
    assert not journal.exists()


def test_a_client_can_clean_up_after_its_interface_is_gone(namespace: Shell, journal: Path) -> None:
    before = picture(namespace)
    with tun("jvpn0"):
        client.set_up(CLIENT, journal)

    client.tear_down(journal)

    assert picture(namespace) == before


def test_a_client_that_crashed_is_taken_over_by_its_next_run(
    namespace: Shell, journal: Path
) -> None:
    before = picture(namespace)
    with tun("jvpn0"):
        client.set_up(CLIENT, journal)
        running = rules(namespace)

    with tun("jvpn0"):
        client.set_up(CLIENT, journal)
        assert rules(namespace) == running
        client.tear_down(journal)

    assert picture(namespace) == before


def test_unmarked_traffic_enters_the_tunnel_and_marked_traffic_never_does(
    namespace: Shell, journal: Path
) -> None:
    namespace("ip link add wifi type veth peer name wifi-far")
    namespace("ip link set wifi-far up")
    namespace("ip link set wifi up")
    namespace("ip address add 10.0.1.1/24 dev wifi")
    namespace("ip route add default via 10.0.1.2")
    everything = client.Tunnel(
        interface="jvpn0",
        addresses=CLIENT.addresses,
        routes=("0.0.0.0/0", "::/0"),
        mtu=1400,
        keep_local_networks=True,
    )

    with tun("jvpn0"):
        client.set_up(everything, journal)
        assert "dev jvpn0" in namespace("ip route get 198.51.100.1")
        assert "dev wifi" in namespace("ip route get 198.51.100.1 mark 0x4a56")
        assert "dev jvpn0" in namespace("ip route get 2001:db8::1")
        assert "dev wifi" in namespace("ip route get 10.0.1.9")
        client.tear_down(journal)

        assert "dev wifi" in namespace("ip route get 198.51.100.1")


def test_a_tunnel_that_takes_all_traffic_does_not_hide_the_paths_beneath_it(
    namespace: Shell, journal: Path
) -> None:
    namespace("ip link add wifi type veth peer name wifi-far")
    namespace("ip link set wifi-far up")
    namespace("ip link set wifi up")
    namespace("ip address add 10.0.1.1/24 dev wifi")
    namespace("ip address add 2001:db8:1::1/64 dev wifi nodad")
    namespace("ip route add default via 10.0.1.2")
    namespace("ip route add default via 2001:db8:1::2")
    everything = dataclasses.replace(CLIENT, routes=("0.0.0.0/0", "::/0"))
    endpoints = (Endpoint("198.51.100.1:4789"), Endpoint("[2001:db8::1]:4789"))

    async def look() -> set[tuple[str, str | None]]:
        selection = Selection(tunnel="jvpn0")
        async with discovering(endpoints, selection, mark=client.MARK) as finds:
            found = [await asyncio.wait_for(anext(finds), 1.0) for _ in endpoints]
        return {(find.interface, find.endpoint) for find in found}

    with tun("jvpn0"):
        client.set_up(everything, journal)

        assert asyncio.run(look()) == {("wifi", endpoint) for endpoint in endpoints}


def test_a_tunnel_has_ipv6_where_new_interfaces_are_denied_it(
    namespace: Shell, journal: Path
) -> None:
    kernel.write_sysctl("net/ipv6/conf/default/disable_ipv6", "1")

    with tun("jvpn0"):
        client.set_up(CLIENT, journal)

        assert "fd77:4a56:504e::2" in namespace("ip -6 address show dev jvpn0")


def test_a_changed_grant_adds_and_removes_only_the_difference(
    namespace: Shell, journal: Path
) -> None:
    changed = client.Tunnel(
        interface="jvpn0",
        addresses=CLIENT.addresses,
        routes=("10.77.0.0/24", "172.16.0.0/12"),
        mtu=1300,
        keep_local_networks=True,
    )

    with tun("jvpn0"):
        client.set_up(CLIENT, journal)
        client.set_up(changed, journal)

        routes = namespace(f"ip route show table {client.TABLE}").split("\n")
        assert [route.split()[0] for route in routes if route] == ["10.77.0.0/24", "172.16.0.0/12"]
        assert namespace("ip -4 rule").count(f"lookup {client.TABLE}") == 1
        assert "mtu 1300" in namespace("ip link show dev jvpn0")


def test_a_second_client_is_refused_and_the_first_keeps_its_rules(
    namespace: Shell, journal: Path, tmp_path: Path
) -> None:
    second = client.Tunnel(
        interface="jvpn1",
        addresses=("10.99.0.2",),
        routes=("10.99.0.0/24",),
        mtu=1400,
        keep_local_networks=True,
    )

    with tun("jvpn0"), tun("jvpn1"):
        client.set_up(CLIENT, journal)
        before = rules(namespace)
        with pytest.raises(client.NetworkTaken, match="another Jumping VPN client"):
            client.set_up(second, tmp_path / "second.journal")
        client.tear_down(tmp_path / "second.journal")

        assert rules(namespace) == before


def test_a_journal_of_another_boot_or_namespace_undoes_nothing(
    namespace: Shell, journal: Path
) -> None:
    with tun("jvpn0"):
        client.set_up(CLIENT, journal)
        before = rules(namespace)
        journal.write_text(journal.read_text().replace('"namespace":', '"namespace":1'))

        client.tear_down(journal)

        assert rules(namespace) == before


def test_a_missing_tool_is_named_with_the_package_that_has_it(
    namespace: Shell, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tun("jvpn-gw0"):
        monkeypatch.setenv("PATH", "/nowhere")
        with pytest.raises(kernel.KernelRefused, match="apt-get install nftables"):
            gateway.set_up(GATEWAY, "jvpn-gw0", journal)


def test_an_address_that_cannot_be_set_is_told_in_the_words_of_ip(
    namespace: Shell, journal: Path
) -> None:
    settings = NetworkSettings(subnets=(Subnet("10.77.0.0/24"),))

    with pytest.raises(kernel.KernelRefused, match="Cannot find device"):
        gateway.set_up(settings, "jvpn-gw0", journal)


def test_the_mtu_leaves_room_for_the_envelope_and_never_falls_below_1280() -> None:
    assert client.tunnel_mtu(1500, 1420) == 1420
    assert client.tunnel_mtu(1400, 1420) == 1320
    assert client.tunnel_mtu(1300, 1420) == 1280
    assert client.tunnel_mtu(None, 9000) == 1420


@pytest.mark.parametrize(
    ("tool", "told"),
    [
        (
            "resolvectl",
            [
                "resolvectl dns jvpn0 10.77.0.1 fd77:4a56:504e::1",
                "resolvectl domain jvpn0 ~.",
                "resolvectl revert jvpn0",
            ],
        ),
        (
            "resolvconf",
            [
                "resolvconf -a jvpn0 -m 0 -x nameserver 10.77.0.1 nameserver fd77:4a56:504e::1",
                "resolvconf -d jvpn0",
            ],
        ),
    ],
)
def test_name_servers_hold_while_the_tunnel_is_up(
    namespace: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: str, told: list[str]
) -> None:
    journal = tmp_path / "network.journal"
    log = record_calls(tmp_path, tool)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    named = dataclasses.replace(CLIENT, dns=("10.77.0.1", "fd77:4a56:504e::1"))

    with tun("jvpn0"):
        client.set_up(named, journal)
        client.tear_down(journal)

    calls = [line for line in log.read_text().splitlines() if "status" not in line]
    assert sorted(calls) == sorted(told)


def record_calls(directory: Path, tool: str) -> Path:
    """Put a tool into the directory that writes down how it is called."""
    log = directory / "calls"
    script = directory / tool
    script.write_text(f"#!/bin/sh\necho {tool} $* $(cat) >> {log}\n")
    script.chmod(0o755)
    return log


def rules(shell: Shell) -> str:
    """Return what does not go with the interface."""
    return "".join(map(shell, ("ip rule", "ip -6 rule", "nft list ruleset")))


def picture(shell: Shell) -> str:
    """Return all that a person could see of this namespace's network."""
    commands = (
        "ip link",
        "ip address",
        "ip route show table all",
        "ip -6 route show table all",
        "sysctl -a -r ^net.ipv[46].(conf|ip_forward)",
    )
    return rules(shell) + "".join(map(shell, commands))
