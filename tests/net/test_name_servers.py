"""Name servers of the tunnel, set through the resolvconf that distributions ship."""

import dataclasses
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from jumping_vpn.client import network as client
from jumping_vpn.client import resolver
from jumping_vpn.client.resolver import Resolver
from support.tuns import CLIENT, tun

pytestmark = pytest.mark.root

Shell = Callable[[str], str]

UNPACKED = Path(__file__).parents[2] / "build" / "openresolv"
HOME = "192.168.1.1"
INSIDE = ("10.77.0.1", "fd77:4a56:504e::1")


@pytest.fixture
def resolv_conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put openresolv on the PATH, its directories moved to the test's; return what it writes.

    It knows the name server of the network that the machine is in.
    """
    if not UNPACKED.is_dir():
        pytest.skip("openresolv is not here: make setup, as root")
    shutil.copytree(UNPACKED, tmp_path / "tree")
    settings, written = tmp_path / "settings", tmp_path / "resolv.conf"
    settings.mkdir()
    (settings / "resolvconf.conf").write_text(f"resolv_conf={written}\n")
    program, library = tmp_path / "tree/sbin/resolvconf", tmp_path / "tree/lib/resolvconf"
    for script in (program, library / "libc"):
        moved = script.read_text()
        for name, place in {"/etc": settings, "/lib/resolvconf": library, "/run": tmp_path}.items():
            moved = moved.replace(f"DIR={name}", f"DIR={place}")
        script.write_text(moved)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    subprocess.run(
        ("resolvconf", "-a", "eth0"), input=f"nameserver {HOME}\n", check=True, text=True
    )
    return written


def test_resolvconf_sends_every_name_through_the_tunnel_while_it_is_up(
    namespace: Shell, resolv_conf: Path, tmp_path: Path
) -> None:
    journal = tmp_path / "network.journal"
    named = dataclasses.replace(CLIENT, dns=INSIDE)
    assert name_servers(resolv_conf) == [HOME]

    with tun("jvpn0"):
        client.set_up(named, journal)
        during = name_servers(resolv_conf)
        client.tear_down(journal)

    assert resolver.chosen() is Resolver.RESOLVCONF
    assert during == list(INSIDE)
    assert name_servers(resolv_conf) == [HOME]


def test_after_a_crash_the_name_servers_of_the_machine_come_back(
    namespace: Shell, resolv_conf: Path, tmp_path: Path
) -> None:
    journal = tmp_path / "network.journal"
    with tun("jvpn0"):
        client.set_up(dataclasses.replace(CLIENT, dns=INSIDE), journal)

    client.tear_down(journal)

    assert name_servers(resolv_conf) == [HOME]
    assert not journal.exists()


def name_servers(resolv_conf: Path) -> list[str]:
    lines = (line.split() for line in resolv_conf.read_text().splitlines())
    return [words[1] for words in lines if words and words[0] == "nameserver"]
