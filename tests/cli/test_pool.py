"""Inner addresses: deterministic, one of each subnet, never one that is in use."""

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from jumping_vpn.gateway.config import DEFAULT_SUBNETS
from jumping_vpn.gateway.pool import Pool, capacity, gateway_addresses
from jumping_vpn.system.settings import Subnet

SUBNETS = tuple(map(Subnet, DEFAULT_SUBNETS))
SMALL = (Subnet("10.0.0.0/29"),)


def lowest(subnets: tuple[Subnet, ...], used: Iterable[str]) -> tuple[str, ...] | None:
    pool = Pool(subnets)
    pool.take(used)
    return pool.lowest()


def test_the_gateway_takes_the_first_address_of_each_subnet() -> None:
    assert gateway_addresses(SUBNETS) == ("10.77.0.1/24", "fd77:4a56:504e::1/64")


def test_a_client_gets_the_lowest_free_address_of_each_subnet() -> None:
    assert lowest(SUBNETS, ()) == ("10.77.0.2", "fd77:4a56:504e::2")
    assert lowest(SUBNETS, {"10.77.0.2", "fd77:4a56:504e::2", "10.77.0.4"}) == (
        "10.77.0.3",
        "fd77:4a56:504e::3",
    )


def test_the_smallest_subnet_says_how_many_clients_there_can_be() -> None:
    assert capacity(SUBNETS) == 253
    assert capacity(SMALL) == 5
    assert capacity((Subnet("fd00::/126"),)) == 2


def test_a_subnet_that_is_full_ends_the_pool() -> None:
    used = {f"10.0.0.{host}" for host in range(2, 7)}

    assert lowest(SMALL, used) is None
    assert lowest((*SMALL, Subnet("fd00::/64")), used) is None


def test_what_is_given_back_is_allotted_again() -> None:
    pool = Pool(SUBNETS)
    for _ in range(3):
        pool.take(pool.lowest() or ())

    pool.give_back(("10.77.0.3", "fd77:4a56:504e::3"))

    assert pool.lowest() == ("10.77.0.3", "fd77:4a56:504e::3")
    pool.take(("10.77.0.3", "fd77:4a56:504e::3"))
    assert pool.lowest() == ("10.77.0.5", "fd77:4a56:504e::5")


@given(st.sets(st.integers(min_value=0, max_value=255), max_size=256))
def test_what_is_allotted_is_free_and_a_host_of_the_subnet(hosts: set[int]) -> None:
    subnet = Subnet("10.9.0.0/24")
    used = {f"10.9.0.{host}" for host in hosts}

    got = lowest((subnet,), used)

    free = [host for host in range(2, 255) if host not in hosts]
    assert got == ((f"10.9.0.{free[0]}",) if free else None)
