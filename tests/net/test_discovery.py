"""Discovery hears the kernel: what goes and comes is told within 50 ms."""

import asyncio
import subprocess
from collections.abc import Awaitable, Callable

import pytest

from jumping_vpn.core.commands import CandidateAppeared, CandidateGone
from jumping_vpn.core.session.reasons import Reason
from jumping_vpn.system.settings import Endpoint
from jumping_vpn.transport.candidates import Found, Selection
from jumping_vpn.transport.discovery import Finds, discovering

pytestmark = pytest.mark.root

MARK = 0x4A56
FAR = Endpoint("198.51.100.1:4789")
FAR_SIX = Endpoint("[2001:db8:ff::1]:4789")
Shell = Callable[[str], str]


def test_link_down_and_up_is_seen_at_once(namespace: Shell) -> None:
    add_path(namespace, "wifi", 1)
    add_path(namespace, "lte", 2)

    async def story(finds: Finds) -> None:
        assert await many(finds, 2) == {appeared("wifi"), appeared("lte")}

        namespace("ip link set wifi down")
        assert await soon(finds) == gone("wifi")

        namespace("ip link set wifi up")
        namespace("ip route replace 198.51.100.0/24 via 10.0.1.2")
        assert await soon(finds) == appeared("wifi")

    tell(story, FAR)


def test_a_cut_cable_is_a_link_down(namespace: Shell) -> None:
    add_path(namespace, "wifi", 1)

    async def story(finds: Finds) -> None:
        assert await soon(finds) == appeared("wifi")

        namespace("ip link set wifi-far down")
        assert await soon(finds) == gone("wifi")

    tell(story, FAR)


def test_an_address_that_goes_takes_the_candidate_with_it(namespace: Shell) -> None:
    add_path(namespace, "wifi", 1)

    async def story(finds: Finds) -> None:
        assert await soon(finds) == appeared("wifi")

        namespace("ip address delete 10.0.1.1/24 dev wifi")
        assert await soon(finds) == gone("wifi", FAR)

    tell(story, FAR)


def test_another_address_on_the_same_interface_is_another_candidate(namespace: Shell) -> None:
    add_path(namespace, "wifi", 1)

    async def story(finds: Finds) -> None:
        assert await soon(finds) == appeared("wifi")

        namespace("ip address add 10.0.1.7/16 dev wifi")
        namespace("ip address delete 10.0.1.1/24 dev wifi")
        namespace("ip route replace 198.51.100.0/24 via 10.0.1.2")
        assert await many(finds, 2) == {gone("wifi", FAR), appeared("wifi")}

    tell(story, FAR)


def test_a_route_that_goes_takes_the_candidate_with_it_and_brings_it_back(
    namespace: Shell,
) -> None:
    add_path(namespace, "wifi", 1)

    async def story(finds: Finds) -> None:
        assert await soon(finds) == appeared("wifi")

        namespace("ip route delete 198.51.100.0/24")
        assert await soon(finds) == gone("wifi", FAR)

        namespace("ip route add default via 10.0.1.2")
        assert await soon(finds) == appeared("wifi")

    tell(story, FAR)


def test_a_new_interface_is_a_new_candidate(namespace: Shell) -> None:
    add_path(namespace, "wifi", 1)

    async def story(finds: Finds) -> None:
        assert await soon(finds) == appeared("wifi")

        add_path(namespace, "usb", 3)
        assert await soon(finds) == appeared("usb")

        namespace("ip link delete usb")
        assert await soon(finds) == gone("usb")

    tell(story, FAR)


def test_families_and_endpoints_are_candidates_of_their_own(namespace: Shell) -> None:
    add_path(namespace, "wifi", 1)
    namespace("ip address add 2001:db8:1::1/64 dev wifi nodad")
    namespace("ip route add 2001:db8:ff::/64 via 2001:db8:1::2")

    async def story(finds: Finds) -> None:
        assert await many(finds, 2) == {appeared("wifi"), appeared("wifi", FAR_SIX)}

        namespace("ip address delete 2001:db8:1::1/64 dev wifi")
        assert await soon(finds) == gone("wifi", FAR_SIX)

        namespace("ip address flush dev wifi")
        assert await soon(finds) == gone("wifi", FAR)

    tell(story, FAR, FAR_SIX)


def test_the_tunnel_the_excluded_and_loopback_are_no_candidates(namespace: Shell) -> None:
    for number, name in enumerate(("wifi", "docker0", "jvpn0"), start=1):
        add_path(namespace, name, number)

    async def story(finds: Finds) -> None:
        assert await soon(finds) == appeared("wifi")
        assert await nothing(finds)

    tell(story, FAR, exclude=("docker*",))


def test_loopback_carries_a_session_to_a_gateway_on_loopback_only(namespace: Shell) -> None:
    add_path(namespace, "wifi", 1)
    local = Endpoint("127.0.0.1:4789")

    async def story(finds: Finds) -> None:
        assert await soon(finds) == appeared("lo", local)
        assert await nothing(finds)

    tell(story, local)


def test_preference_decides_the_order(namespace: Shell) -> None:
    add_path(namespace, "wifi", 1)
    add_path(namespace, "lte", 2)

    async def story(finds: Finds) -> None:
        assert await soon(finds) == appeared("wifi")
        assert await soon(finds) == appeared("lte", preference=1)

    tell(story, FAR, preference=("wi*", "l*"))


def test_other_endpoints_are_taken_up_while_running(namespace: Shell) -> None:
    add_path(namespace, "wifi", 1)

    async def story(finds: Finds) -> None:
        assert await soon(finds) == appeared("wifi")

        other = Endpoint("198.51.100.2:4789")
        finds.offer((other,))
        assert await many(finds, 2) == {gone("wifi", FAR), appeared("wifi", other)}

    tell(story, FAR)


def test_named_endpoints_are_looked_up_and_all_their_addresses_used(namespace: Shell) -> None:
    add_path(namespace, "wifi", 1)

    async def story(finds: Finds) -> None:
        assert await soon(finds) == appeared("lo", Endpoint("127.0.0.1:4789"))

    tell(story, Endpoint("localhost:4789"))


def test_news_that_overflowed_is_asked_again(namespace: Shell) -> None:
    add_path(namespace, "wifi", 1)

    async def story(finds: Finds) -> None:
        assert await soon(finds) == appeared("wifi")

        script = "".join(
            f"address {verb} 10.9.{n // 250}.{n % 250}/32 dev lo\n"
            for verb in ("add", "delete")
            for n in range(5000)
        )
        batch(script + "link set wifi down\n")
        assert await soon(finds, seconds=2.0) == gone("wifi")

    tell(story, FAR)


def add_path(shell: Shell, name: str, number: int) -> None:
    shell(f"ip link add {name} type veth peer name {name}-far")
    shell(f"ip address add 10.0.{number}.1/24 dev {name}")
    shell(f"ip link set {name}-far up")
    shell(f"ip link set {name} up")
    shell(f"ip route add 198.51.100.0/24 via 10.0.{number}.2 metric {number}")


def batch(script: str) -> None:
    subprocess.run(["ip", "-batch", "-"], input=script, text=True, check=True, timeout=10)


def appeared(interface: str, endpoint: Endpoint = FAR, *, preference: int = 0) -> CandidateAppeared:
    return CandidateAppeared(interface=interface, endpoint=endpoint, preference=preference)


def gone(interface: str, endpoint: Endpoint | None = None) -> CandidateGone:
    return CandidateGone(interface=interface, endpoint=endpoint, cause=Reason.LINK_DOWN)


async def soon(finds: Finds, *, seconds: float = 0.05) -> Found:
    return await asyncio.wait_for(anext(finds), seconds)


async def many(finds: Finds, count: int) -> set[Found]:
    return {await soon(finds) for _ in range(count)}


async def nothing(finds: Finds) -> bool:
    try:
        await soon(finds)
    except TimeoutError:
        return True
    return False


def tell(
    story: Callable[[Finds], Awaitable[None]],
    *endpoints: Endpoint,
    exclude: tuple[str, ...] = (),
    preference: tuple[str, ...] = (),
) -> None:
    async def whole() -> None:
        selection = Selection(tunnel="jvpn0", exclude=exclude, preference=preference)
        async with discovering(endpoints, selection, mark=MARK) as finds:
            await story(finds)

    asyncio.run(whole())
