"""The doctor sees what on this machine would stand in the way."""

from collections.abc import Callable

import pytest

from jumping_vpn.cli.doctor import Standing, check_other_filters, check_reverse_path
from jumping_vpn.system import kernel

pytestmark = pytest.mark.root

Shell = Callable[[str], str]


def test_a_filter_that_drops_what_is_forwarded_is_named_with_the_cure(namespace: Shell) -> None:
    assert list(check_other_filters()) == []

    namespace("nft add table ip filter")
    namespace(
        "nft add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }"
    )

    (finding,) = check_other_filters()
    assert finding.standing is Standing.ADVICE
    assert "ip filter FORWARD drops" in finding.found
    assert "iifname jvpn-gw0 accept" in finding.cure


def test_a_strict_reverse_path_is_named_with_the_cure(namespace: Shell) -> None:
    namespace("ip link add wifi type veth peer name wifi-far")
    assert list(check_reverse_path()) == []

    kernel.write_sysctl("net/ipv4/conf/wifi/rp_filter", "1")

    (finding,) = check_reverse_path()
    assert finding.what == "rp_filter of wifi"
    assert finding.cure == "sysctl -w net.ipv4.conf.wifi.rp_filter=2"
